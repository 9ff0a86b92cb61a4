import { messageOf } from "../base/fault.js";
import { AddonNative } from "./addon.js";
import { addonPath, loadAddon } from "./addon-module.js";
import type { Native } from "./binding.js";
import { StandIn } from "./stand-in.js";

let loaded: Native | null = null;
let refusal: string | null = null;

/**
 * The native side of the calling thread: the addon, or the stand-in where the addon is not to be had. The environment
 * variable HIKYAKU_ADDON says `off` for the stand-in, or gives the path of an addon. Never throws; the same object on
 * every call of a thread.
 */
export function loadNative(): Native {
  loaded ??= choose();
  return loaded;
}

/** Why this thread's native side is the stand-in, as a phrase for the start-up line; null when it is the addon. */
export function addonRefusal(): string | null {
  loadNative();
  return refusal;
}

function choose(): Native {
  const wish = process.env["HIKYAKU_ADDON"] ?? "";
  if (wish === "off") {
    refusal = "HIKYAKU_ADDON=off";
    return new StandIn();
  }
  try {
    return new AddonNative(loadAddon(wish === "" ? addonPath() : wish));
  } catch (error) {
    refusal = messageOf(error);
    return new StandIn();
  }
}
