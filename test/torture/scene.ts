import { makeDir, removeDir } from "../support/server.js";
import { type LaunchOptions, Program, type Where } from "./program.js";
import { type RecordingOptions, RecordingSink } from "./sink.js";

/**
 * The stage of one scenario: a directory, a mail host, and every server that was launched. Whatever happens, the servers
 * are gone and the mail host is closed at the end; the directory stays when a rule was broken, and is named.
 */
export class Scene {
  readonly dir: string = makeDir();
  readonly sink: RecordingSink;
  readonly #programs: Program[] = [];

  private constructor(sink: RecordingSink) {
    this.sink = sink;
  }

  /** Plays one scenario. */
  static async play<T>(options: RecordingOptions, play: (scene: Scene) => Promise<T>): Promise<T> {
    const scene = new Scene(await RecordingSink.start(options));
    try {
      const result = await play(scene);
      await scene.#close();
      removeDir(scene.dir);
      return result;
    } catch (error) {
      await scene.#close();
      throw new Error(`broken in ${scene.dir}: ${error instanceof Error ? error.message : String(error)}`, {
        cause: error,
      });
    }
  }

  async #close(): Promise<void> {
    await Promise.all(this.#programs.map((program) => program.kill()));
    await this.sink.stop();
  }

  /** Resolves when every server that was launched has ended. */
  async gone(): Promise<void> {
    await Promise.all(this.#programs.map((program) => program.ended));
  }

  /** Launches the server and does not wait. */
  launch(options: LaunchOptions = {}): Program {
    const program = Program.launch(this.dir, options);
    this.#programs.push(program);
    return program;
  }

  /** Launches the server and waits until it listens; fails when it ends instead. */
  async start(options: LaunchOptions = {}): Promise<{ program: Program; where: Where }> {
    const program = this.launch(options);
    const where = await program.ready();
    if (where === null) throw new Error(`the server ended at its start: ${program.err}`);
    return { program, where };
  }
}
