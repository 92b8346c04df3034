"""AWS Identity and Access Management, as far as one account needs it: decisions without requests.

`needs` says which permissions a request needs, `policies` reads policy documents, `evaluation`
decides, and `least` writes the policy that allows only what was used. Everything is a pure
function of its arguments.
"""
