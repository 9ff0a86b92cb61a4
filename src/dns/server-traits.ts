/**
 * What is peculiar about name servers: which of them do not write a question back in its case, and which do not know OPT
 * records. Such a server is asked in the plain form from then on.
 * Runs on: the thread of its resolver.
 * Owns: the two sets.
 * When full: as many entries as servers are configured.
 * On failure: a server that is taken for peculiar and is not gets plain questions; that costs some protection, no answer.
 */
import type { Random } from "../base/random.js";
import type { ListenAddress } from "../config/compiled.js";
import type { Reply } from "./exchange.js";
import { BADVERS, FORMERR, NOTIMP, type Question } from "./wire.js";

/** See the file's header. */
export class ServerTraits {
  readonly #ownCase = new Set<ListenAddress>();
  readonly #noOpt = new Set<ListenAddress>();
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  /** How a question for `name` is put to a server. */
  form(server: ListenAddress, name: string): Pick<Question, "written" | "edns"> {
    const written = this.#ownCase.has(server) ? name : mixedCase(name, this.#random);
    return { written, edns: !this.#noOpt.has(server) };
  }

  /** Learns from what came back; true when the same server should be asked again, in another form. */
  learn(server: ListenAddress, question: Question, reply: Reply): boolean {
    if (reply.kind === "failed") {
      if (reply.code !== "dns.case") return false;
      this.#ownCase.add(server);
      return true;
    }
    // Only what came over TCP gets here in another case, so no forger can bring this about.
    if (!reply.sameCase) this.#ownCase.add(server);
    const { rcode } = reply;
    if (!question.edns || (rcode !== FORMERR && rcode !== NOTIMP && rcode !== BADVERS)) return false;
    this.#noOpt.add(server);
    return true;
  }
}

/** Each letter in upper or lower case by chance: bits that a forged answer must guess (draft-vixie-dnsext-dns0x20). */
function mixedCase(name: string, random: Random): string {
  let written = "";
  for (const letter of name)
    written += letter >= "a" && letter <= "z" && random.next() < 0.5 ? letter.toUpperCase() : letter;
  return written;
}
