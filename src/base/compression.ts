import { createReadStream, createWriteStream } from "node:fs";
import { chmod, open, rename, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import type { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import * as zlib from "node:zlib";

/** A zlib that has zstd (Node 22.15 and later); the types in use are older. */
interface Zstd {
  createZstdCompress(): Transform;
  createZstdDecompress(): Transform;
}

function hasZstd(library: object): library is Zstd {
  return "createZstdCompress" in library && "createZstdDecompress" in library;
}

/** Zstandard where the running Node has it, null elsewhere. */
const zstd: Zstd | null = hasZstd(zlib) ? zlib : null;

/** The suffix that compressed segments get here. */
export const compressedSuffix: ".zst" | ".gz" = zstd === null ? ".gz" : ".zst";

/**
 * Compresses a finished file to one with {@link compressedSuffix} and removes it. The work is done by the runtime's own
 * thread pool. The new file appears under its name only when it is complete and on disk, without write permission.
 * Throws the file system's error; then the old file is still there.
 */
export async function compressFile(path: string): Promise<string> {
  const target = path + compressedSuffix;
  const partial = `${target}.tmp`;
  const packer = zstd === null ? zlib.createGzip() : zstd.createZstdCompress();
  try {
    await pipeline(createReadStream(path), packer, createWriteStream(partial, { mode: 0o640 }));
    const file = await open(partial, "r");
    try {
      await file.sync();
    } finally {
      await file.close();
    }
    await chmod(partial, 0o440);
    await rename(partial, target);
    const directory = await open(dirname(path), "r");
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
    await unlink(path);
  } catch (error) {
    await unlink(partial).catch(() => {});
    throw error;
  }
  return target;
}

/** The contents of a compressed file as a stream of bytes. Null when this Node cannot read its kind. */
export function openCompressed(path: string): Transform | null {
  const unpacker = path.endsWith(".gz") ? zlib.createGunzip() : (zstd?.createZstdDecompress() ?? null);
  if (unpacker === null) return null;
  const source = createReadStream(path);
  source.on("error", (error) => unpacker.destroy(error));
  return source.pipe(unpacker);
}
