// The one published page: asks the other services by their names and shows what they say.
const http = require("node:http");

const services = ["greeter", "clock", "counter"];

async function ask(service) {
  const began = performance.now();
  try {
    const answer = await fetch(`http://${service}:8080/`, { signal: AbortSignal.timeout(3000) });
    const took = `${Math.ceil(performance.now() - began)} ms`;
    return { service, text: await answer.text(), took, well: answer.ok };
  } catch (error) {
    return { service, text: error.cause?.message ?? error.message, took: "no answer", well: false };
  }
}

const escape = (text) => text.replace(/[&<>"]/g, (letter) => `&#${letter.charCodeAt(0)};`);

const card = ({ service, text, took, well }) => `
    <section class="${well ? "well" : "ill"}">
      <h2>${service}<small>:8080</small></h2>
      <p>${escape(text)}</p>
      <footer>${took}</footer>
    </section>`;

const page = (answers) => `<!doctype html>
<html lang="en">
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width">
  <meta http-equiv="refresh" content="2">
  <title>quickstart</title>
  <style>
    :root { color-scheme: light dark; --line: #8884; --accent: #0a7d5a; }
    body { font: 17px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 12vh auto; padding: 0 1.5rem; }
    h1 { font-weight: 650; margin-bottom: 0; }
    h1 + p { opacity: 0.7; margin-top: 0.2rem; }
    main { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(16rem, 1fr)); margin-top: 2rem; }
    section { border: 1px solid var(--line); border-top: 3px solid var(--accent); border-radius: 8px; padding: 0.4rem 1.1rem; }
    section.ill { --accent: #c0392b; }
    h2 { font-size: 1.05rem; }
    small, footer { opacity: 0.55; font-weight: 400; font-size: 0.85rem; }
    code { background: var(--line); border-radius: 4px; padding: 0.1em 0.35em; }
  </style>
  <h1>It runs</h1>
  <p>Four services, one port number, no image. Change <code>greeter/server.js</code> and save it.</p>
  <main>${answers.map(card).join("")}
  </main>
</html>
`;

http
  .createServer(async (request, response) => {
    const answers = [];
    // One after the other, so that the counter has heard of this visit.
    for (const service of services) answers.push(await ask(service));
    response.writeHead(200, { "content-type": "text/html; charset=utf-8" });
    response.end(page(answers));
  })
  .listen(8080, () => console.log("page listens on 8080"));
