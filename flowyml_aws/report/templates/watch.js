// Loads the page again when the run has changed. What is open stays open.

const kept = JSON.parse(sessionStorage.getItem("kept") ?? "{}");
for (const [id, open] of Object.entries(kept.open ?? {})) {
  const row = document.getElementById(id);
  if (row) row.open = open;
}
if (kept.query) {
  query.value = kept.query;
  filterRows();
}

async function watch(first) {
  const answer = await fetch("version").catch(() => null);
  if (!answer) return; // the command has ended
  if (!answer.ok) {
    setTimeout(() => watch(first), 5000); // an outage
    return;
  }
  const { version, ended } = await answer.json();
  if (first && version !== first) {
    const open = Object.fromEntries([...document.querySelectorAll("details[id]")].map((row) => [row.id, row.open]));
    sessionStorage.setItem("kept", JSON.stringify({ open, query: query.value }));
    location.reload();
  } else if (!ended) {
    setTimeout(() => watch(version), 5000);
  }
}

watch();
