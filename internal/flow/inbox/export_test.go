package inbox

import "time"

// LeaveAloneFor makes the breakers of f wait so long, for tests.
func LeaveAloneFor(f *Fetcher, d time.Duration) { f.open(d) }

// MaxPointers is how many pointers of one account may wait.
const MaxPointers = maxPointers
