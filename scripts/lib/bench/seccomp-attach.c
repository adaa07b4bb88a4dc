/* What attaching a container's seccomp filter costs, apart from all else.
 *   seccomp-attach dump PID FILE        the newest filter of a process, as the kernel keeps it (needs root)
 *   seccomp-attach time ROUNDS FILE...  all in turn: instructions, least and median microseconds, each in a new
 *                                      process; then the first's ratio to the others
 */
#define _GNU_SOURCE
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct sock_filter program[4096];

static int dump(pid_t pid, const char *path)
{
	FILE *file = fopen(path, "w");
	long length;

	if (!file || ptrace(PTRACE_SEIZE, pid, 0, 0) || ptrace(PTRACE_INTERRUPT, pid, 0, 0) || waitpid(pid, NULL, __WALL) < 0)
		return perror(path), 1;
	length = ptrace(PTRACE_SECCOMP_GET_FILTER, pid, 0, program);
	if (length < 0)
		return perror("PTRACE_SECCOMP_GET_FILTER"), 1;
	return fwrite(program, sizeof(*program), length, file) != (size_t)length || fclose(file);
}

static double attach(unsigned short length)
{
	struct sock_fprog filter = { length, program };
	double *shared = mmap(NULL, sizeof(double), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0), took;

	*shared = -1;
	if (fork() == 0) {
		struct timespec from, to;

		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		clock_gettime(CLOCK_MONOTONIC, &from);
		if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &filter) == 0) {
			clock_gettime(CLOCK_MONOTONIC, &to);
			*shared = (to.tv_sec - from.tv_sec) * 1e6 + (to.tv_nsec - from.tv_nsec) / 1e3;
		}
		_exit(0);
	}
	wait(NULL);
	took = *shared;
	munmap(shared, sizeof(double));
	return took;
}

static int less(const void *a, const void *b)
{
	return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

int main(int argc, char **argv)
{
	int rounds = argc > 3 ? atoi(argv[2]) : 0, count = argc - 3;
	double *took;
	size_t length[16];

	if (argc == 4 && !strcmp(argv[1], "dump"))
		return dump(atoi(argv[2]), argv[3]);
	if (argc < 4 || argc > 18 || rounds < 1 || !(took = calloc(rounds * count, sizeof(double))))
		return 2;
	for (int round = 0; round < rounds; round++)
		for (int i = 0; i < count; i++) {
			FILE *file = fopen(argv[3 + i], "r");

			if (!file)
				return perror(argv[3 + i]), 1;
			length[i] = fread(program, sizeof(*program), 4096, file);
			fclose(file);
			took[i * rounds + round] = attach(length[i]);
		}
	for (int i = 0; i < count; i++) {
		qsort(took + i * rounds, rounds, sizeof(double), less);
		printf("%-40s%6zu instructions%10.1f us least%10.1f us median\n", argv[3 + i], length[i], took[i * rounds],
		       took[i * rounds + rounds / 2]);
	}
	for (int i = 1; i < count; i++)
		printf("ratio to %-31s%31.2f least%16.2f median\n", argv[3 + i], took[0] / took[i * rounds],
		       took[rounds / 2] / took[i * rounds + rounds / 2]);
	return 0;
}
