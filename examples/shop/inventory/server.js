// What there is to buy, and how much of it is left.
const http = require("node:http");
const fs = require("node:fs");

const items = [
  { sku: "kettle", name: "Copper kettle", stock: 12 },
  { sku: "lamp", name: "Desk lamp", stock: 3 },
];

async function route(request) {
  if (request.url === "/items") return { status: 200, body: items };
  if (request.method === "POST" && request.url === "/take") {
    const { sku, quantity } = JSON.parse(await read(request));
    const item = items.find((entry) => entry.sku === sku);
    if (!item) return { status: 404, body: { error: `there is no ${sku}` } };
    if (!(quantity > 0 && quantity <= item.stock)) {
      return { status: 409, body: { error: `there are ${item.stock} of ${sku}` } };
    }
    item.stock -= quantity;
    return { status: 200, body: item };
  }
  return { status: 404, body: { error: "no such page" } };
}

async function read(request) {
  let text = "";
  for await (const chunk of request) {
    text += chunk;
    if (text.length > 65536) throw new Error("the body is too large");
  }
  return text;
}

const server = http.createServer(async (request, response) => {
  const answer = await route(request).catch((error) => ({ status: 400, body: { error: error.message } }));
  response.writeHead(answer.status, { "content-type": "application/json" });
  response.end(JSON.stringify(answer.body));
});

fs.rmSync("/tmp/ready", { force: true });
server.listen(8080, () => {
  fs.writeFileSync("/tmp/ready", "");
  console.log(`inventory counts ${items.length} items`);
});

for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => process.exit(0));
