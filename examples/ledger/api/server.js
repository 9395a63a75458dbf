// What people see of the ledger. It reads the balances once at its start: it may rely on the seed job being done.
const http = require("node:http");
const fs = require("node:fs");

const store = process.env.STORE_URL ?? "http://store:5000";

async function main() {
  const opening = await (await fetch(`${store}/balances`)).json();
  const accounts = Object.keys(opening).length;
  if (accounts === 0) throw new Error("the store is empty: was the seed job waited for?");

  const server = http.createServer(async (request, response) => {
    const answer = await fetch(`${store}/balances`).then((found) => found.text(), () => null);
    response.writeHead(answer === null ? 502 : 200, { "content-type": "application/json" });
    response.end(`${answer ?? '{"error":"the store does not answer"}'}\n`);
  });
  fs.rmSync("/tmp/ready", { force: true });
  server.listen(8080, () => {
    fs.writeFileSync("/tmp/ready", "");
    console.log(`api serves ${accounts} accounts`);
  });
}

main().catch((error) => {
  console.error(error.message);
  process.exit(1);
});

for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => process.exit(0));
