/* Faults for the ledger's storage, loaded with LD_PRELOAD. Armed by the process itself; until then it does
 * nothing. At the n-th fsync or fdatasync (or write) after `fault_arm` one thing goes wrong:
 *
 *   1  the sync is not done and fails with EIO
 *   2  the sync is done and reported as failed ("written but reported failed")
 *   3  the process dies before the sync
 *   4  the process dies after the sync, before anyone hears of it
 *   5  the process dies in the middle of a write, half of which is done
 *
 * `fault_share` names shared memory in which the size of the write-ahead log at its last good sync is kept:
 * what came after it is what a power cut may take.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static long countdown = 0;
static int what = 0;
static volatile long *synced = 0;

void fault_arm(long after, int fault) { countdown = after; what = fault; }
void fault_share(volatile long *memory) { synced = memory; }

static void die(void) { kill(getpid(), SIGKILL); for (;;) pause(); }

static void remember(int fd) {
    char link[64], name[4096];
    struct stat found;
    ssize_t length;
    if (!synced) return;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, name, sizeof name - 1);
    if (length < 4) return;
    name[length] = 0;
    if (strcmp(name + length - 4, "-wal") == 0 && fstat(fd, &found) == 0) *synced = found.st_size;
}

static int sync_with(const char *symbol, int fd) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, symbol);
    int result;
    if (what >= 1 && what <= 4 && countdown > 0 && --countdown == 0) {
        if (what == 1) { errno = EIO; return -1; }
        if (what == 3) die();
        result = real(fd);
        if (result == 0) remember(fd);
        if (what == 4) die();
        errno = EIO;
        return -1;
    }
    result = real(fd);
    if (result == 0) remember(fd);
    return result;
}

int fsync(int fd) { return sync_with("fsync", fd); }
int fdatasync(int fd) { return sync_with("fdatasync", fd); }

static ssize_t write_with(const char *symbol, int fd, const void *data, size_t size, off64_t at) {
    ssize_t (*real)(int, const void *, size_t, off64_t) =
        (ssize_t (*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, symbol);
    if (what == 5 && countdown > 0 && --countdown == 0) {
        real(fd, data, size / 2, at);
        die();
    }
    return real(fd, data, size, at);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { return write_with("pwrite", fd, data, size, at); }
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) { return write_with("pwrite64", fd, data, size, at); }
