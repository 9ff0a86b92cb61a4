import { StandIn } from "../../src/native/stand-in.js";
import { describeDisk } from "./disk-table.js";
import { describeReactor } from "./reactor-table.js";

const native = new StandIn();
describeReactor(native);
describeDisk(native);
