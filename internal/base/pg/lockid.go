package pg

// Ids of advisory locks: one list, never reused. Two-key locks take the first
// key from here and the second from the object.
const (
	lockMigrateJobs int64 = 7001
	// LockAccess is the first key of the access lock per buyer and event.
	LockAccess int32 = 7002
)
