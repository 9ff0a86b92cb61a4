/**
 * One question to one server: by UDP, and by TCP when the response does not fit.
 * Runs on: any thread with an event loop.
 * Owns: a fresh socket per question, so that each leaves from an unpredictable port (RFC 5452 §4.5), and its timer.
 * When full: the caller bounds how many run at once.
 * On failure: every outcome is a value; a wrong, forged or garbled packet is passed over until the right one comes.
 */
import { createSocket } from "node:dgram";
import { createConnection, isIPv6 } from "node:net";
import { errnoOf, messageOf } from "../base/fault.js";
import type { ListenAddress } from "../config/compiled.js";
import { failure, type Lookup } from "./lookup.js";
import { encodeQuestion, type Question, type Response, readResponse } from "./wire.js";

/** What came back from one server. */
export type Reply = Response | Extract<Lookup, { kind: "failed" }>;

/** Asks one server one question; the answer comes within `timeoutMs`, and it never rejects. */
export type Exchange = (server: ListenAddress, question: Question, timeoutMs: number) => Promise<Reply>;

const CASE = "the question came back in another case";

/** So many packets that are not ours look like an attempt to forge an answer: then TCP is used, where that is harder. */
const MAX_STRAYS = 20;

/** The exchange over the network. */
export const networkExchange: Exchange = (server, question, timeoutMs) =>
  new Promise((resolve) => {
    const state = { garbled: false, stop: () => {} };
    const finish = (reply: Reply): void => {
      clearTimeout(timer);
      state.stop();
      resolve(reply);
    };
    const timer = setTimeout(() => {
      if (state.garbled) finish(failure("dns.malformed", `only garbled answers from ${server.host}`));
      else finish(failure("dns.timeout", `no answer from ${server.host} in ${Math.round(timeoutMs)} ms`));
    }, timeoutMs);
    const attempt: Attempt = {
      server,
      question,
      bytes: encodeQuestion(question),
      finish,
      garbled: () => {
        state.garbled = true;
      },
    };
    const viaTcp = (otherCase: boolean): void => {
      state.stop();
      state.stop = askTcp(otherCase ? afterOtherCase(attempt) : attempt);
    };
    try {
      state.stop = askUdp(attempt, viaTcp);
    } catch (error) {
      finish(socketFailure(error, server));
    }
  });

interface Attempt {
  readonly server: ListenAddress;
  readonly question: Question;
  readonly bytes: Buffer;
  finish(reply: Reply): void;
  /** Notes that a packet with the right number could not be read. */
  garbled(): void;
}

/** A failure over TCP then means that this server is to be asked without chance's case. */
function afterOtherCase(attempt: Attempt): Attempt {
  return {
    ...attempt,
    finish: (reply) =>
      attempt.finish(reply.kind === "failed" ? failure("dns.case", `${attempt.server.host}: ${CASE}`) : reply),
  };
}

/** Sends by UDP and listens; returns what ends it. The socket is connected, so that only this server's packets arrive. */
function askUdp(attempt: Attempt, viaTcp: (otherCase: boolean) => void): () => void {
  const { server, question } = attempt;
  const socket = createSocket(isIPv6(server.host) ? "udp6" : "udp4");
  let open = true;
  let strays = 0;
  const stop = (): void => {
    if (open) socket.close();
    open = false;
  };
  socket.on("error", (error) => {
    if (open) attempt.finish(socketFailure(error, server));
  });
  socket.on("message", (bytes) => {
    if (!open) return;
    const received = readResponse(bytes, question);
    if (received.kind === "response") {
      // Who forges an answer does not know the case. Over TCP nobody answers but the server, in whatever case.
      if (!received.sameCase) viaTcp(true);
      else if (received.truncated) viaTcp(false);
      else attempt.finish(received);
      return;
    }
    if (received.kind === "malformed") attempt.garbled();
    if (++strays >= MAX_STRAYS) viaTcp(false);
  });
  socket.on("connect", () => {
    if (open) socket.send(attempt.bytes);
  });
  socket.connect(server.port, server.host);
  return stop;
}

/** Sends by TCP with the length in front (RFC 1035 §4.2.2) and reads one response; returns what ends it. */
function askTcp(attempt: Attempt): () => void {
  const { server, question } = attempt;
  const socket = createConnection({ host: server.host, port: server.port });
  let received = Buffer.alloc(0);
  const lengthPrefix = Buffer.alloc(2);
  lengthPrefix.writeUInt16BE(attempt.bytes.length);
  socket.on("connect", () => socket.write(Buffer.concat([lengthPrefix, attempt.bytes])));
  socket.on("error", (error) => attempt.finish(socketFailure(error, server)));
  socket.on("end", () => attempt.finish(failure("dns.malformed", `${server.host} closed the connection early`)));
  socket.on("data", (chunk) => {
    received = Buffer.concat([received, chunk]);
    if (received.length < 2) return;
    const length = received.readUInt16BE(0);
    if (received.length < 2 + length) return;
    const response = readResponse(received.subarray(2, 2 + length), question);
    // On a connection of our own there is nobody else to wait for.
    const good = response.kind === "response" && !response.truncated;
    attempt.finish(good ? response : failure("dns.malformed", `a garbled answer from ${server.host} over TCP`));
  });
  return () => {
    socket.removeAllListeners();
    socket.on("error", () => {});
    socket.destroy();
  };
}

function socketFailure(error: unknown, server: ListenAddress): Reply {
  const errno = errnoOf(error);
  const code = errno === "ECONNREFUSED" ? "dns.refused" : "socket.failed";
  return failure(code, `${server.host}: ${errno ?? messageOf(error)}`);
}
