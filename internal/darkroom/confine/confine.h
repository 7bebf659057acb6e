// What the process could not take away from itself, since its kernel lacks the
// means: one sentence a layer, and NULL after the last.
const char *confine_lack(int n);

// CONFINE_OUTPUT is where the standard output led when the process started.
enum { CONFINE_OUTPUT = 3 };
