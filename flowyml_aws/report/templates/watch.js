// Loads the page again when the run has changed. What is open stays open.

const kept = JSON.parse(sessionStorage.getItem("kept") ?? "{}");
if (kept.open) {
  for (const row of document.querySelectorAll("details[id]")) row.open = kept.open.includes(row.id);
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
    const open = [...document.querySelectorAll("details[id][open]")].map((row) => row.id);
    sessionStorage.setItem("kept", JSON.stringify({ open, query: query.value }));
    location.reload();
  } else if (!ended) {
    setTimeout(() => watch(version), 5000);
  }
}

watch();
