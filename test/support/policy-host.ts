import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { Identity } from "./peers/certificates.js";

/** A web server on loopback that serves MTA-STS policies, or whatever its script says. */
export class PolicyHost {
  readonly port: number;
  readonly asked: string[] = [];
  readonly #server: Server;
  script: (request: IncomingMessage, response: ServerResponse) => void;

  private constructor(server: Server, port: number, script: PolicyHost["script"]) {
    this.#server = server;
    this.port = port;
    this.script = script;
    server.on("request", (request, response) => {
      this.asked.push(`${request.headers.host} ${request.url}`);
      this.script(request, response);
    });
  }

  static async start(identity: Identity, script: PolicyHost["script"]): Promise<PolicyHost> {
    const server = createServer({ cert: identity.pem, key: identity.key });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    return new PolicyHost(server, typeof address === "object" && address !== null ? address.port : 0, script);
  }

  async stop(): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }
}

/** Answers with a policy. */
export function serve(text: string, headers: Readonly<Record<string, string>> = { "content-type": "text/plain" }) {
  return (_request: IncomingMessage, response: ServerResponse): void => {
    response.writeHead(200, headers);
    response.end(text);
  };
}
