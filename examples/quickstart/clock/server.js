// Tells the time, and what it sees of the machine: itself, in a container with a host name of its own.
const fs = require("node:fs");
const http = require("node:http");
const os = require("node:os");

// Every process has a folder in /proc whose name is its number.
const processes = () => fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name)).length;

http
  .createServer((request, response) => {
    const time = new Date().toTimeString().slice(0, 8);
    response.end(`It is ${time} on ${os.hostname()}, which sees ${processes()} processes.`);
  })
  .listen(8080, () => console.log("clock listens on 8080"));
