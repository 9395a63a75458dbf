// What was bought. Placing an order takes it from inventory first and tells notifier afterwards.
const http = require("node:http");
const fs = require("node:fs");

const inventory = process.env.INVENTORY_URL ?? "http://inventory:8080";
const notifier = process.env.NOTIFIER_URL ?? "http://notifier:8080";

const orders = [{ id: 1, user: 1, sku: "kettle", quantity: 1 }];

async function post(url, body) {
  const options = { method: "POST", body: JSON.stringify(body), signal: AbortSignal.timeout(2000) };
  const response = await fetch(url, options);
  return { status: response.status, body: await response.json() };
}

async function place(wish) {
  const { user, sku, quantity = 1 } = wish;
  const taken = await post(`${inventory}/take`, { sku, quantity });
  if (taken.status !== 200) return taken;
  const order = { id: orders.length + 1, user, sku, quantity };
  orders.push(order);
  await post(`${notifier}/notify`, { text: `order ${order.id}: ${quantity} × ${sku}` });
  return { status: 201, body: order };
}

async function route(request) {
  if (request.url !== "/orders") return { status: 404, body: { error: "no such page" } };
  if (request.method === "GET") return { status: 200, body: orders };
  return place(JSON.parse(await read(request)));
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
  console.log("orders listens on 8080");
});

for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => process.exit(0));
