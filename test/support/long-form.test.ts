/** What is run by hand, called wrongly. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

function run(name: string, ...args: string[]) {
  const program = fileURLToPath(new URL(`../${name}/run.js`, import.meta.url));
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], {
    encoding: "utf8",
    timeout: 20_000,
  });
  return { status, stdout, stderr };
}

for (const [name, wrong] of [
  ["sim", [["--seed", "x"], ["--steps", "0"], ["--steps", "many"], ["more"]]],
  ["torture", [["--seed", "x"], ["--minutes", "-1"], ["--rounds", "0"], ["--only", "nothing"], ["more"]]],
] as const) {
  test(`npm run ${name}: help is help, and wrong usage is 2 with a line that says why`, () => {
    const help = run(name, "--help");
    assert.deepEqual([help.status, help.stderr], [0, ""]);
    assert.match(help.stdout, new RegExp(`^Usage: npm run ${name} -- \\[options\\]\n`));
    for (const args of [...wrong, ["--nope"]]) {
      const { status, stdout, stderr } = run(name, ...args);
      assert.deepEqual([status, stdout], [2, ""], args.join(" "));
      assert.match(stderr, new RegExp(`^error: .*\n\\(see npm run ${name} -- --help\\)\n$`));
    }
  });
}

test("a made-up world of one step", () => {
  const { status, stdout } = run("sim", "--seed", "7", "--steps", "1");
  assert.equal(status, 0);
  assert.match(stdout, /^seed 7, 1 steps: \{/);
});
