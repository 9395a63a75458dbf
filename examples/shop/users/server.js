// Who buys. The list is part of the code, so that a save shows at once what watching does.
const http = require("node:http");
const fs = require("node:fs");

const users = [
  { id: 1, name: "Ada" },
  { id: 2, name: "Grace" },
];

const server = http.createServer((request, response) => {
  const found = request.url === "/users";
  response.writeHead(found ? 200 : 404, { "content-type": "application/json" });
  response.end(JSON.stringify(found ? users : { error: "no such page" }));
});

fs.rmSync("/tmp/ready", { force: true });
server.listen(8080, () => {
  fs.writeFileSync("/tmp/ready", "");
  console.log(`users knows ${users.length} people`);
});

for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => process.exit(0));
