// Tells the world of an order. Here the world is the log.
const http = require("node:http");
const fs = require("node:fs");

async function read(request) {
  let text = "";
  for await (const chunk of request) {
    text += chunk;
    if (text.length > 65536) throw new Error("the body is too large");
  }
  return text;
}

async function route(request) {
  if (request.method !== "POST" || request.url !== "/notify") return { status: 404, body: { error: "no such page" } };
  const { text } = JSON.parse(await read(request));
  console.log(`to everyone: ${String(text).replace(/[\r\n]/g, " ")}`);
  return { status: 200, body: { sent: true } };
}

const server = http.createServer(async (request, response) => {
  const answer = await route(request).catch((error) => ({ status: 400, body: { error: error.message } }));
  response.writeHead(answer.status, { "content-type": "application/json" });
  response.end(JSON.stringify(answer.body));
});

fs.rmSync("/tmp/ready", { force: true });
server.listen(8080, () => {
  fs.writeFileSync("/tmp/ready", "");
  console.log("notifier listens on 8080");
});

for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => process.exit(0));
