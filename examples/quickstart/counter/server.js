// Counts. It begins anew whenever this file is saved, since it keeps its number in memory.
const http = require("node:http");

let visitors = 0;

http
  .createServer((request, response) => {
    if (request.method === "POST") visitors += 1;
    response.end(String(visitors));
  })
  .listen(8080, () => console.log("counter listens on 8080"));
