import { StandIn } from "../../src/native/stand-in.js";
import { describeConnections } from "./connection-table.js";
import { describeDisk } from "./disk-table.js";
import { describeEnds } from "./end-table.js";
import { describeReactor } from "./reactor-table.js";

const native = new StandIn();
describeConnections(native);
describeEnds(native);
describeReactor(native);
describeDisk(native);
