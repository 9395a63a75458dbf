// The one door to the shop: puts together what users, orders and inventory know.
const http = require("node:http");
const fs = require("node:fs");

const users = process.env.USERS_URL ?? "http://users:8080";
const orders = process.env.ORDERS_URL ?? "http://orders:8080";
const inventory = process.env.INVENTORY_URL ?? "http://inventory:8080";

async function ask(url, options) {
  const response = await fetch(url, { ...options, signal: AbortSignal.timeout(2000) });
  return { status: response.status, body: await response.json() };
}

async function summary() {
  const [people, placed, stock] = await Promise.all([
    ask(`${users}/users`),
    ask(`${orders}/orders`),
    ask(`${inventory}/items`),
  ]);
  const person = new Map(people.body.map((user) => [user.id, user.name]));
  const item = new Map(stock.body.map((entry) => [entry.sku, entry]));
  return {
    shop: "hoist",
    orders: placed.body.map((order) => ({
      id: order.id,
      customer: person.get(order.user) ?? "unknown",
      item: item.get(order.sku)?.name ?? order.sku,
      quantity: order.quantity,
      left: item.get(order.sku)?.stock ?? 0,
    })),
  };
}

async function route(request) {
  if (request.url === "/health") return { status: 200, body: { ok: true } };
  if (request.method === "GET" && request.url === "/") return { status: 200, body: await summary() };
  if (request.method === "POST" && request.url === "/orders") {
    return ask(`${orders}/orders`, { method: "POST", body: await read(request) });
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
  const answer = await route(request).catch((error) => ({ status: 502, body: { error: error.message } }));
  response.writeHead(answer.status, { "content-type": "application/json" });
  response.end(`${JSON.stringify(answer.body)}\n`);
});

fs.rmSync("/tmp/ready", { force: true });
server.listen(8080, () => {
  fs.writeFileSync("/tmp/ready", "");
  console.log("gateway listens on 8080");
});

// Process 1 has no default signal handlers: without this line every stop would last its whole grace period.
for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => process.exit(0));
