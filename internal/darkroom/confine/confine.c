// It all runs in a constructor, before Go has started: most layers belong to a
// thread and are inherited only by threads that it starts later, and a Go
// program that uses C has no means to reach the threads that it has already.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <vips/vips.h>

#include "confine.h"

static const char *lacks[8]; // one for each call of lack, and NULL
static int lacking;

static void lack(const char *what) { lacks[lacking++] = what; }
const char *confine_lack(int n) { return lacks[n]; }

static void die(const char *what)
{
	fprintf(stderr, "darkroom: cannot set %s: %s\n", what, strerror(errno));
	_exit(71);
}

#ifdef CONFINE_PROBE
// The probe of the tests can be told to leave layers out: without=a,b as its
// first argument. Nothing of this is in the darkroom.
static const char *left_out = "";
static int wanted(const char *layer) { return strcmp(left_out, "all") != 0 && strstr(left_out, layer) == NULL; }
static void configure(int argc, char **argv)
{
	if (argc > 1 && strncmp(argv[1], "without=", 8) == 0) left_out = argv[1] + 8;
}
#else
static int wanted(const char *layer) { (void)layer; return 1; }
static void configure(int argc, char **argv) { (void)argc; (void)argv; }
#endif

static void limit(int what, const char *name, rlim_t soft, rlim_t hard)
{
	struct rlimit now;
	if (getrlimit(what, &now) != 0) die(name);
	if (now.rlim_max < hard) hard = now.rlim_max;
	if (hard < soft) soft = hard;
	now.rlim_cur = soft;
	now.rlim_max = hard;
	if (setrlimit(what, &now) != 0) die(name);
}

static void limits(void)
{
	limit(RLIMIT_DATA, "RLIMIT_DATA", 2048UL << 20, 2048UL << 20);
	limit(RLIMIT_CPU, "RLIMIT_CPU", 60, 3600);
	limit(RLIMIT_NOFILE, "RLIMIT_NOFILE", 32, 32);
	limit(RLIMIT_FSIZE, "RLIMIT_FSIZE", 0, 0);
	limit(RLIMIT_CORE, "RLIMIT_CORE", 0, 0);
}

static void descriptors(void)
{
	// Frames go out by a descriptor of their own: a library that prints to
	// standard output, as one does before it gives up, then cannot garble them.
	if (dup2(STDOUT_FILENO, CONFINE_OUTPUT) < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) die("up the output");
	// What the server itself inherited and never marked would be here too.
	if (close_range(CONFINE_OUTPUT + 1, ~0U, 0) != 0) {
		for (int fd = CONFINE_OUTPUT + 1; fd < 4096; fd++) close(fd);
	}
}

// capabilities gives up what root may do beyond its own files and processes.
static void capabilities(void)
{
	struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0, 0, 0}, {0, 0, 0}};
	// Dropping from the bounding set needs a capability, and matters only to
	// who has it; no_new_privs keeps a program from getting any back.
	for (int c = 0; prctl(PR_CAPBSET_DROP, c, 0, 0, 0) == 0; c++) {}
	if (syscall(SYS_capset, &head, none) != 0) die("the capabilities");
}

// load brings in every library that decoding may need, since nothing can be
// opened later: the image library's modules, and the plug-ins of libheif,
// which it would load with the first picture.
static void load(void)
{
	if (setenv("VIPS_BLOCK_UNTRUSTED", "1", 1) != 0) die("the environment");
	if (vips_init("darkroom") != 0) {
		fprintf(stderr, "darkroom: cannot start libvips: %s\n", vips_error_buffer());
		_exit(71);
	}
	void *(*heif_init)(void *) = (void *(*)(void *))dlsym(RTLD_DEFAULT, "heif_init");
	if (heif_init != NULL) heif_init(NULL);
}

// Landlock's interface, which the system's headers may be older than.
struct landlock_ruleset { uint64_t files, network, scoped; };
enum { landlock_create = 444, landlock_restrict = 446, landlock_version = 1 };

// landlock takes all of the file system away, the network, and the processes
// outside, with a ruleset that has no rules.
static void landlock(void)
{
	long abi = syscall(landlock_create, NULL, 0, landlock_version);
	if (abi < 1) {
		lack("Landlock (it takes Linux 5.13 and lsm=landlock)");
		return;
	}
	struct landlock_ruleset all = {.files = 0x1fff};
	if (abi >= 2) all.files |= 1 << 13;
	if (abi >= 3) all.files |= 1 << 14;
	if (abi >= 4) all.network = 3;
	else lack("Landlock for TCP (it takes Linux 6.7)");
	if (abi >= 5) all.files |= 1 << 15;
	if (abi >= 6) all.scoped = 3;
	else lack("Landlock for signals and abstract sockets (it takes Linux 6.12)");
	int rules = syscall(landlock_create, &all, sizeof all, 0);
	if (rules < 0 || syscall(landlock_restrict, rules, 0) != 0) die("Landlock");
	close(rules);
}

// The filter of system calls: what is not listed answers ENOSYS, as on a
// kernel that does not have it, which libraries are prepared for.
static struct sock_filter code[256];
static unsigned short length;

static void emit(uint16_t op, uint8_t yes, uint8_t no, uint32_t k)
{
	if (length == sizeof code / sizeof *code) abort();
	code[length++] = (struct sock_filter){op, yes, no, k};
}

static void answer(uint32_t what) { emit(BPF_RET | BPF_K, 0, 0, what); }
static void unknown(void) { answer(SECCOMP_RET_ERRNO | ENOSYS); }
static void load_word(size_t offset) { emit(BPF_LD | BPF_W | BPF_ABS, 0, 0, offset); }

// low is the lower half of an argument, which is all that the kernel takes of
// the arguments looked at here.
static size_t low(int argument)
{
	size_t at = offsetof(struct seccomp_data, args) + 8 * argument;
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	at += 4;
#endif
	return at;
}

static void allow(uint32_t call)
{
	emit(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, call);
	answer(SECCOMP_RET_ALLOW);
}

// allow_with allows a call whose argument is one of the values.
static void allow_with(uint32_t call, int argument, int count, const uint32_t *values)
{
	emit(BPF_JMP | BPF_JEQ | BPF_K, 0, 2 * count + 2, call);
	load_word(low(argument));
	for (int i = 0; i < count; i++) {
		emit(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, values[i]);
		answer(SECCOMP_RET_ALLOW);
	}
	unknown();
}

// allow_bits allows a call whose argument has all the bits.
static void allow_bits(uint32_t call, int argument, uint32_t bits)
{
	emit(BPF_JMP | BPF_JEQ | BPF_K, 0, 5, call);
	load_word(low(argument));
	emit(BPF_ALU | BPF_AND | BPF_K, 0, 0, bits);
	emit(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, bits);
	answer(SECCOMP_RET_ALLOW);
	unknown();
}

#define VALUES(...) sizeof((uint32_t[]){__VA_ARGS__}) / 4, (uint32_t[]){__VA_ARGS__}

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

static void seccomp(void)
{
#ifndef ARCHITECTURE
	lack("seccomp (it is written for x86-64 and arm64)");
#else
	load_word(offsetof(struct seccomp_data, arch));
	emit(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, ARCHITECTURE);
	answer(SECCOMP_RET_KILL_PROCESS);
	load_word(offsetof(struct seccomp_data, nr));

	// The pipes, memory and threads, most frequent first. There is no call here
	// that opens, names or makes anything outside the process.
	static const uint32_t free_calls[] = {
		SYS_futex, SYS_read, SYS_write, SYS_madvise, SYS_mmap, SYS_munmap, SYS_nanosleep, SYS_rt_sigreturn,
		SYS_rt_sigprocmask, SYS_epoll_pwait, SYS_sched_yield, SYS_mprotect, SYS_mremap, SYS_brk, SYS_close,
		SYS_rt_sigaction, SYS_sigaltstack, SYS_set_robust_list, SYS_rseq, SYS_set_tid_address, SYS_exit,
		SYS_exit_group, SYS_restart_syscall, SYS_getpid, SYS_gettid, SYS_clock_gettime, SYS_clock_nanosleep,
		SYS_clock_getres, SYS_gettimeofday, SYS_sched_getaffinity, SYS_getcpu, SYS_getrandom, SYS_getrusage,
		SYS_sysinfo, SYS_uname, SYS_membarrier, SYS_readv, SYS_writev, SYS_lseek, SYS_fstat, SYS_ppoll,
		SYS_epoll_create1, SYS_epoll_ctl, SYS_eventfd2, SYS_getuid, SYS_geteuid, SYS_getgid, SYS_getegid,
#ifdef SYS_epoll_wait
		SYS_epoll_wait, SYS_poll, SYS_time,
#endif
	};
	for (size_t i = 0; i < sizeof free_calls / sizeof *free_calls; i++) allow(free_calls[i]);
	allow_bits(SYS_clone, 0, CLONE_VM | CLONE_THREAD);
	allow_with(SYS_fcntl, 1, VALUES(F_GETFD, F_SETFD, F_GETFL, F_SETFL));
	allow_with(SYS_prctl, 0, VALUES(PR_SET_NAME, 0x53564d41 /* PR_SET_VMA: names memory */));
	// Signals to itself: the Go runtime interrupts its threads, and abort.
	uint32_t self = getpid();
	allow_with(SYS_tgkill, 0, VALUES(self));
	allow_with(SYS_kill, 0, VALUES(self));
	// For confine.Renew, which moves a soft limit.
	allow_with(SYS_prlimit64, 0, VALUES(0));
#ifdef SYS_setrlimit
	allow_with(SYS_setrlimit, 0, VALUES(RLIMIT_CPU));
	allow_with(SYS_getrlimit, 0, VALUES(RLIMIT_CPU));
#endif
	unknown();

	struct sock_fprog filter = {length, code};
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter) != 0) {
		if (errno != ENOSYS && errno != EINVAL) die("the filter of system calls");
		lack("seccomp (it takes a kernel with CONFIG_SECCOMP_FILTER)");
	}
#endif
}

__attribute__((constructor)) static void confine(int argc, char **argv)
{
	configure(argc, argv);
	descriptors();
	if (wanted("no_new_privs") && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) die("no_new_privs");
	if (wanted("limits")) limits();
	if (wanted("capabilities")) capabilities();
	// One photograph on one core: a heap for each thread would only cost
	// memory (half of it, as measured).
	mallopt(M_ARENA_MAX, 1);
	load();
	// No byte of a stranger has been read yet, and none will be with any of
	// this still to be had.
	if (wanted("landlock")) landlock();
	if (wanted("seccomp")) seccomp();
}
