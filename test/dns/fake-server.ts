import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import * as packet from "dns-packet";
import type { ListenAddress } from "../../src/config/compiled.js";

/** A question as the fake server received it. */
export interface Asked {
  readonly id: number;
  /** In lower case. */
  readonly name: string;
  /** As it was asked. */
  readonly written: string;
  readonly edns: boolean;
  readonly type: string;
  readonly via: "udp" | "tcp";
  /** Source port, to see that each question leaves from another one. */
  readonly port: number;
  readonly flags: number;
}

/** Answers to one question: these bytes, in this order; none for silence; "close" ends a TCP connection. */
export type Script = (asked: Asked, sequence: number) => readonly (Buffer | "close")[];

/** A name server on loopback, UDP and TCP on one port, that says what its script says. */
export class FakeServer {
  readonly asked: Asked[] = [];
  readonly address: ListenAddress;
  readonly #udp: UdpSocket;
  readonly #tcp: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(udp: UdpSocket, tcp: Server, port: number, script: Script) {
    this.#udp = udp;
    this.#tcp = tcp;
    this.address = { host: "127.0.0.1", port };
    udp.on("message", (bytes, peer) => {
      for (const answer of script(this.#note(bytes, "udp", peer.port), this.asked.length)) {
        if (answer !== "close") udp.send(answer, peer.port, peer.address);
      }
    });
    tcp.on("connection", (socket) => this.#serve(socket, script));
  }

  static async start(script: Script): Promise<FakeServer> {
    for (;;) {
      const udp = createSocket("udp4");
      udp.bind(0, "127.0.0.1");
      await once(udp, "listening");
      const { port } = udp.address();
      const tcp = createServer();
      tcp.listen(port, "127.0.0.1");
      try {
        await once(tcp, "listening");
        return new FakeServer(udp, tcp, port, script);
      } catch {
        udp.close();
      }
    }
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    const closed = [once(this.#udp, "close"), once(this.#tcp, "close")];
    this.#udp.close();
    this.#tcp.close();
    await Promise.all(closed);
  }

  #note(bytes: Buffer, via: "udp" | "tcp", port: number): Asked {
    const query = packet.decode(bytes);
    const question = query.questions?.[0];
    const { id = 0, flags = 0 } = query;
    const written = question?.name ?? "";
    const edns = (query.additionals ?? []).some((record) => record.type === "OPT");
    const asked = { id, name: written.toLowerCase(), written, edns, type: question?.type ?? "", via, port, flags };
    this.asked.push(asked);
    return asked;
  }

  #serve(socket: Socket, script: Script): void {
    this.#sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => this.#sockets.delete(socket));
    let received = Buffer.alloc(0);
    socket.on("data", (chunk) => {
      received = Buffer.concat([received, chunk]);
      if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
      const asked = this.#note(received.subarray(2), "tcp", socket.remotePort ?? 0);
      for (const answer of script(asked, this.asked.length)) {
        if (answer === "close") socket.end();
        else socket.write(Buffer.concat([lengthOf(answer), answer]));
      }
    });
  }
}

function lengthOf(bytes: Buffer): Buffer {
  const prefix = Buffer.alloc(2);
  prefix.writeUInt16BE(bytes.length);
  return prefix;
}

/** What a response is made of; the question is echoed unless another one is given. */
export interface ResponseParts {
  readonly rcode?: number;
  readonly id?: number;
  readonly question?: packet.Question | null;
  readonly flags?: number;
  readonly answers?: packet.Answer[];
  readonly authorities?: packet.Answer[];
  readonly additionals?: packet.Answer[];
}

/** The bytes of a response to a question. */
export function respond(asked: Asked, parts: ResponseParts = {}): Buffer {
  const type =
    asked.type === "MX" || asked.type === "AAAA" || asked.type === "TXT" || asked.type === "TLSA" ? asked.type : "A";
  const question = parts.question === undefined ? ({ name: asked.written, type } as const) : parts.question;
  return packet.encode({
    type: "response",
    id: parts.id ?? asked.id,
    flags: packet.RECURSION_DESIRED | packet.RECURSION_AVAILABLE | (parts.flags ?? 0) | (parts.rcode ?? 0),
    questions: question === null ? [] : [question],
    answers: parts.answers ?? [],
    authorities: parts.authorities ?? [],
    additionals: parts.additionals ?? [],
  });
}

/** An A record. */
export function a(name: string, data: string, ttl = 300): packet.Answer {
  return { type: "A", name, data, ttl };
}

/** An alias. */
export function cname(name: string, data: string, ttl = 300): packet.Answer {
  return { type: "CNAME", name, data, ttl };
}

/** An MX record. */
export function mx(name: string, preference: number, exchange: string, ttl = 300): packet.Answer {
  return { type: "MX", name, ttl, data: { preference, exchange } };
}

/** The SOA record of a negative answer, whose life it tells. */
export function soa(name: string, minimum: number): packet.Answer {
  return { type: "SOA", name, ttl: minimum, data: { mname: `ns.${name}`, rname: `root.${name}`, minimum } };
}
