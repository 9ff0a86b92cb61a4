// Names of errno values: what crosses to JavaScript is a name ("ECONNREFUSED"), never a number that differs by system.
// Runs on: any thread. Owns: nothing. When full: cannot be. On failure: an unknown number is "EUNKNOWN".
#pragma once

namespace hikyaku {

/** The name of a (positive) errno value. */
const char* ErrnoName(int number);

}  // namespace hikyaku
