/* A profile, as lines of numbers and names, to the program that libseccomp makes of it. For one test only. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct condition {
	unsigned int argument;
	int operator;
	uint64_t first, second;
};

void *seccomp_init(uint32_t action);
uint32_t seccomp_arch_resolve_name(const char *name);
int seccomp_arch_add(void *filter, uint32_t architecture);
int seccomp_arch_remove(void *filter, uint32_t architecture);
int seccomp_syscall_resolve_name(const char *name);
int seccomp_rule_add_array(void *filter, uint32_t action, int call, unsigned int count, const struct condition *all);
int seccomp_export_bpf(const void *filter, int fd);

int main(void)
{
	void *filter = NULL;
	char word[64], name[64];

	while (scanf("%63s", word) == 1) {
		uint32_t action;
		unsigned int count = 0;
		struct condition all[6];

		if (!strcmp(word, "default")) {
			/* not this machine's, unless asked for */
			if (scanf("%u", &action) != 1 || !(filter = seccomp_init(action)) || seccomp_arch_remove(filter, 0))
				return 1;
		} else if (!strcmp(word, "arch")) {
			if (scanf("%63s", name) != 1 || seccomp_arch_add(filter, seccomp_arch_resolve_name(name)))
				return 2;
		} else {
			int call;

			if (scanf("%u %63s %u", &action, name, &count) != 3 || count > 6)
				return 3;
			for (unsigned int i = 0; i < count; i++)
				if (scanf("%u %d %lu %lu", &all[i].argument, &all[i].operator, &all[i].first, &all[i].second) != 4)
					return 4;
			call = seccomp_syscall_resolve_name(name);
			if (call != -1 && seccomp_rule_add_array(filter, action, call, count, all)) {
				fprintf(stderr, "%s\n", name);
				return 5;
			}
		}
	}
	return seccomp_export_bpf(filter, 1) ? 6 : 0;
}
