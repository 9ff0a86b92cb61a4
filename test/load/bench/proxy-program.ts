/** This program with a stand-in for its server: `start` passes every connection through to the queue's `mx_list`. */
import { readFileSync } from "node:fs";
import { type AddressInfo, connect, createServer } from "node:net";
import { Command } from "commander";
import { addGenerateCommand } from "../../../src/cli/generate.js";
import { writeReadyFile } from "../../../src/cli/ready-file.js";
import { addSinkCommand } from "../../../src/cli/sink.js";

const program = new Command("hikyaku");
addSinkCommand(program);
addGenerateCommand(program);
program
  .command("start")
  .requiredOption("--config <FILE>")
  .requiredOption("--ready-file <FILE>")
  .action(({ config, readyFile }: { config: string; readyFile: string }) => {
    const text = readFileSync(config, "utf8");
    if (text.includes("workers = 13")) throw new Error("thirteen workers are too many");
    const port = Number(/mx_list = \["127\.0\.0\.1:(\d+)"\]/.exec(text)?.[1]);
    const server = createServer((client) => {
      const onward = connect({ host: "127.0.0.1", port });
      client.pipe(onward).pipe(client);
      for (const socket of [client, onward]) {
        socket.on("error", () => {
          client.destroy();
          onward.destroy();
        });
      }
    });
    server.listen(0, "127.0.0.1", () => {
      const address = { host: "127.0.0.1", port: (server.address() as AddressInfo).port };
      writeReadyFile(readyFile, { smtp: [address], http: [address] });
    });
  });
await program.parseAsync();
