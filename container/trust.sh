# Adds the certificates of the setting `ca_certificates`, in the file next to this one, to those that the system trusts.
set -eu
certificates=$(dirname "$0")/ca-certificates.pem
bundle=/etc/ssl/certs/ca-certificates.crt # of Debian and Ubuntu
if [ ! -s "$certificates" ]; then exit 0; fi
if command -v update-ca-certificates >/dev/null; then
  mkdir -p /usr/local/share/ca-certificates
  cp "$certificates" /usr/local/share/ca-certificates/flowyml-aws.crt
  update-ca-certificates || true
fi
# Minimal images lack programs that it needs.
case "$(cat "$bundle")" in
  *"$(cat "$certificates")"*) ;;
  *) { echo && cat "$certificates"; } >>"$bundle" ;;
esac
