// The database: keeps entries in a file, a JSON object a line, and answers two questions about them.
//
//   POST /entries   appends entries, an array
//   GET /balances   the sum of each account
const fs = require("node:fs");
const http = require("node:http");

const file = process.env.STORE_FILE ?? "/data/entries.jsonl";

function load() {
  if (!fs.existsSync(file)) return [];
  return fs.readFileSync(file, "utf8").split("\n").filter(Boolean).map((line) => JSON.parse(line));
}

const entries = load();

function append(added) {
  if (!added.every((entry) => typeof entry.account === "string" && Number.isFinite(entry.amount))) {
    return { status: 400, body: { error: "an entry has an account and an amount" } };
  }
  fs.appendFileSync(file, added.map((entry) => `${JSON.stringify(entry)}\n`).join(""));
  entries.push(...added);
  return { status: 201, body: { entries: entries.length } };
}

function balances() {
  const sums = {};
  for (const { account, amount } of entries) sums[account] = (sums[account] ?? 0) + amount;
  return { status: 200, body: sums };
}

async function route(request) {
  if (request.method === "POST" && request.url === "/entries") return append(JSON.parse(await read(request)));
  if (request.method === "GET" && request.url === "/balances") return balances();
  return { status: 404, body: { error: "no such page" } };
}

async function read(request) {
  let text = "";
  for await (const chunk of request) {
    text += chunk;
    if (text.length > 1 << 20) throw new Error("the body is too large");
  }
  return text;
}

const server = http.createServer(async (request, response) => {
  const answer = await route(request).catch((error) => ({ status: 400, body: { error: error.message } }));
  response.writeHead(answer.status, { "content-type": "application/json" });
  response.end(JSON.stringify(answer.body));
});

fs.rmSync("/tmp/ready", { force: true });
server.listen(5000, () => {
  fs.writeFileSync("/tmp/ready", "");
  console.log(`store holds ${entries.length} entries`);
});

// Process 1 has no default signal handlers: without this line every stop would last its whole grace period.
for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => process.exit(0));
