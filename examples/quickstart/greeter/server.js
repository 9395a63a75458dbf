// Says hello, and how often it has been asked, which the counter knows.
const http = require("node:http");

const words = "Hello from a container without an image";

http
  .createServer(async (request, response) => {
    try {
      const answer = await fetch("http://counter:8080/", { method: "POST", signal: AbortSignal.timeout(2000) });
      response.end(`${words}. You are visitor ${await answer.text()}.`);
    } catch (error) {
      response.writeHead(502).end(`the counter does not answer: ${error.message}`);
    }
  })
  .listen(8080, () => console.log("greeter listens on 8080"));
