// Stands before a node for clients that cannot send its token: passes every request on to one URL with the token
// added and nothing else changed, the Host header included.
//
//   node bearer.mjs URL TOKEN_FILE      prints its own URL

import { readFileSync } from "node:fs";
import http from "node:http";

const [target, tokenFile] = process.argv.slice(2);
const url = new URL(target);
const token = readFileSync(tokenFile, "utf8").trim();
const agent = new http.Agent({ keepAlive: true });

const server = http.createServer((asked, answer) => {
    const headers = [...asked.rawHeaders, "Authorization", `Bearer ${token}`];
    const passed = http.request({
        agent, headers, host: url.hostname, port: url.port, path: url.pathname, method: asked.method, setHost: false,
    });
    passed.on("response", (got) => {
        answer.writeHead(got.statusCode, got.statusMessage, got.rawHeaders);
        answer.flushHeaders();
        got.on("error", () => answer.destroy());
        got.pipe(answer);
    });
    passed.on("error", (error) => {
        if (!answer.headersSent) {
            answer.writeHead(502);
        }
        answer.end(String(error));
    });
    // Whoever goes away must be seen to have gone.
    answer.on("close", () => answer.writableFinished || passed.destroy());
    asked.pipe(passed);
});
server.requestTimeout = 0;
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}/mcp`));
