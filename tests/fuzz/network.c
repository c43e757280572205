/* SPDX-License-Identifier: ISC */
/*
 * The network process: connections of any kind in any order, their bytes in any pieces, datagrams,
 * time, and a runner that is quick, slow or gone. The process's own loop runs; what it waits for is
 * made from the input.
 *
 * What must hold: a whole line from a permitted source becomes a request that stays open until it is
 * settled, unless a waiter is there, or one is open whose process has not looked for its turn yet and
 * is not overtaken by a start (G1). Nothing else does. Every connection is counted once. Not one byte
 * is sent (G7). No descriptor is lost.
 *
 * Input: operations, each a byte and what belongs to it; see step().
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "fuzz.h"

static int wait_for_input(int epoll, struct epoll_event *event, int most, int timeout);
static ssize_t request_take(const void *bytes, size_t length);
static int clock_of_input(clockid_t clock, struct timespec *now);
static int nap_of_loop(const struct timespec *time);

/* The process's own sources, with a runner, events and time that the input makes. */
#define epoll_wait(epoll, event, most, timeout) wait_for_input(epoll, event, most, timeout)
#define send(fd, bytes, length, flags)          request_take(bytes, length)
#define clock_gettime(clock, now)               clock_of_input(clock, now)
#define nanosleep(time, rest)                   nap_of_loop(time)
#include "../../src/daemon/datagram.c"
#include "../../src/daemon/network.c"
#include "../../src/daemon/pending.c"
#include "../../src/daemon/requester.c"
#undef epoll_wait
#undef send
#undef clock_gettime
#undef nanosleep

#define CLIENTS_MAX 16
#define DESCRIPTORS 48 /* so few that they run out, but not by our own ends alone */
#define ROUNDS_MAX  4 /* of the loop after an operation: more than it needs to read what there is */
#define OPERATIONS  300
#define PIECE_MAX   24

/* A connection's other end. */
struct client {
	int fd; /* -1: none */
	bool is_bare_lf, is_judged;
	unsigned account; /* ACCOUNT_NONE: permitted nowhere */
	char bytes[LINE_READ_MAX];
	size_t length;
};

/* What is made once: a process of a configuration. */
static struct {
	struct conf conf;
	struct served_accounts accounts;
	struct progress progress;
	struct listener listener[2];
	struct network network;
	int runner, waiter[2]; /* other open files of the turn files: a waiter's */
	struct sockaddr_in datagrams;
	int sender[3];
	struct sockaddr_un streams;
} made;

/* What happens in one input. */
static struct {
	struct input input;
	struct client client[CLIENTS_MAX];
	uint64_t now;
	bool runner_is_full, runner_is_gone;
	unsigned operations, rounds;
	unsigned descriptors; /* open at the beginning */
	unsigned taken;    /* connections and datagrams that came */
	unsigned lines;    /* requests with a line */
	uint32_t number[2]; /* of the last request */
	uint32_t heard[2];  /* of the last that the runner has got */
	uint32_t looked[2]; /* of the last whose process has looked for its turn */
	uint32_t needed[2]; /* of the first whose process looks for its turn after the last line */
	bool is_owed[2];    /* a line came, and its request is not settled, and no action started */
	bool is_waited[2];  /* a waiter is there */
} run;

/* ---- A runner, time and events from the input ---- */

static int clock_of_input(clockid_t clock, struct timespec *now)
{
	(void)clock;
	*now = (struct timespec){ .tv_sec = (time_t)(run.now / 1000),
		.tv_nsec = (long)(run.now % 1000) * 1000000 };
	return 0;
}

static ssize_t request_take(const void *bytes, size_t length)
{
	struct request request;

	must(length == sizeof(request));
	memcpy(&request, bytes, sizeof(request));
	must(request_check(&request, &made.conf));
	/* Once for each, though it may have to be sent again. */
	if (request.kind == REQUEST_TURN && request.number != run.number[request.account]) {
		must(request.number == run.number[request.account] + 1);
		run.number[request.account] = request.number;
		run.lines += request.has_line;
		must(!request.has_line || run.is_owed[request.account]);
	}
	if (run.runner_is_full) {
		errno = EAGAIN;
		return -1;
	}
	if (request.kind == REQUEST_TURN)
		run.heard[request.account] = request.number;
	return (ssize_t)length;
}

/* The processes of all requests so far look for their turn. */
static void runner_look(unsigned account)
{
	run.looked[account] = run.heard[account];
	progress_look(&made.progress, account, run.looked[account]);
}

/* Those that have looked have found out. */
static void runner_settle(unsigned account)
{
	progress_settle(&made.progress, account, run.looked[account]);
	run.is_owed[account] &= run.looked[account] < run.needed[account];
}

/* A waiter comes, who starts at once and so covers everybody. Or it goes: it has started the action,
 * or it dies and leaves a debt. */
static void waiter_turns(unsigned account, bool dies)
{
	struct flock range = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1 };
	struct state *state = made.accounts.served[account].state;

	run.is_waited[account] = !run.is_waited[account];
	range.l_type = run.is_waited[account] ? F_WRLCK : F_UNLCK;
	must(fcntl(made.waiter[account], F_OFD_SETLK, &range) == 0);
	if (run.is_waited[account])
		atomic_store(&state->due, moment_to_word(moment_now()));
	if (run.is_waited[account] || dies)
		return;
	atomic_store(&state->due, 0);
	atomic_fetch_add(&state->starts, 1);
	run.is_owed[account] = false;
}

/* ---- Connections ---- */

static const struct {
	int family;
	const char *address;
	unsigned account;
} sources[] = {
	{ AF_INET, "192.0.2.1", 0 },
	{ AF_INET6, "::ffff:192.0.2.2", 0 },
	{ AF_INET6, "2001:db8::1", 0 },
	{ AF_INET, "10.1.2.3", 1 },
	{ AF_INET6, "fe80::1", ACCOUNT_NONE },
	{ AF_INET, "198.51.100.1", ACCOUNT_NONE },
};

static struct sockaddr_storage address_of(unsigned index)
{
	struct sockaddr_storage address = { .ss_family = (sa_family_t)sources[index].family };
	struct sockaddr_in6 ipv6 = { .sin6_family = AF_INET6, .sin6_scope_id = 1 };
	struct sockaddr_in ipv4 = { .sin_family = AF_INET };

	if (sources[index].family == AF_INET) {
		must(inet_pton(AF_INET, sources[index].address, &ipv4.sin_addr) == 1);
		memcpy(&address, &ipv4, sizeof(ipv4));
	} else {
		must(inet_pton(AF_INET6, sources[index].address, &ipv6.sin6_addr) == 1);
		memcpy(&address, &ipv6, sizeof(ipv6));
	}
	return address;
}

static struct client *client_free(void)
{
	for (unsigned i = 0; i < CLIENTS_MAX; i++)
		if (run.client[i].fd < 0)
			return &run.client[i];
	return NULL;
}

static bool is_line(const char *bytes, size_t length, bool bare_lf)
{
	return (length == 15 && memcmp(bytes, "nm_notifyuser\r\n", 15) == 0) ||
	       (bare_lf && length == 14 && memcmp(bytes, "nm_notifyuser\n", 14) == 0);
}

/* A whole line has come, or will be read before anything else happens. */
static void expect_line(unsigned account)
{
	if (run.is_waited[account])
		return;
	run.is_owed[account] = true;
	run.needed[account] = run.looked[account] + 1;
}

/* A piece goes to the process, which reads it before the next comes. */
static void client_send(struct client *client)
{
	char piece[PIECE_MAX];
	size_t length = take_bytes(&run.input, piece, take_byte(&run.input) % (PIECE_MAX + 1));
	size_t room = sizeof(client->bytes) - client->length;

	/* MSG_NOSIGNAL: it may have been closed already. */
	if (client->fd < 0 || (sendto)(client->fd, piece, length, MSG_NOSIGNAL, NULL, 0) < 0)
		return;
	if (client->is_judged || length == 0)
		return;
	memcpy(client->bytes + client->length, piece, length < room ? length : room);
	client->length += length < room ? length : room;
	client->is_judged = client->length == sizeof(client->bytes) ||
			    memchr(client->bytes, '\n', client->length) != NULL;
	if (client->account != ACCOUNT_NONE && is_line(client->bytes, client->length, client->is_bare_lf))
		expect_line(client->account);
}

static void client_end(struct client *client)
{
	char byte;

	if (client->fd < 0)
		return;
	/* G7: nothing ever came. */
	must(recv(client->fd, &byte, 1, MSG_DONTWAIT) <= 0);
	(void)close(client->fd);
	client->fd = -1;
}

/* A connection of any source, as if it had been accepted. */
static void client_connect(void)
{
	unsigned source = take_byte(&run.input) % COUNT(sources);
	struct sockaddr_storage address = address_of(source);
	struct client *client = client_free();
	int fds[2];

	if (client == NULL || socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0)
		return;
	*client = (struct client){ .fd = fds[1], .account = sources[source].account,
		.is_bare_lf = sources[source].account == 1 };
	client_send(client);
	run.taken++;
	connection_take(&made.network, fds[0], &address);
}

/* One that has to be accepted, perhaps without a descriptor for it. */
static void client_connect_here(void)
{
	struct client *client = client_free();
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return;
	if (client == NULL || connect(fd, (struct sockaddr *)&made.streams,
				      sizeof(made.streams)) != 0) {
		(void)close(fd);
		return;
	}
	*client = (struct client){ .fd = fd, .account = 1, .is_bare_lf = true };
	run.taken++;
	client_send(client);
}

static void datagrams_send(unsigned count)
{
	unsigned sender = take_byte(&run.input) % COUNT(made.sender);
	char bytes[PIECE_MAX];
	size_t length = take_bytes(&run.input, bytes, take_byte(&run.input) % (PIECE_MAX + 1));

	while (count-- > 0) {
		if (sendto(made.sender[sender], bytes, length, MSG_DONTWAIT,
			    (struct sockaddr *)&made.datagrams, sizeof(made.datagrams)) < 0)
			return;
		run.taken++;
		/* Its length is cut at 16, at which it is too long. */
		if (is_line(bytes, length, false))
			expect_line(0);
	}
}

/* ---- Operations ---- */

/* Does the next operation of the input. False: there is none. */
static bool step(void)
{
	uint8_t operation = take_byte(&run.input);
	unsigned account = operation >> 7;

	if (run.input.length == 0 || run.operations++ == OPERATIONS)
		return false;
	switch (operation % 12) {
	case 0: client_connect(); break;
	case 1:
	case 2: client_send(&run.client[take_byte(&run.input) % CLIENTS_MAX]); break;
	case 3: client_end(&run.client[take_byte(&run.input) % CLIENTS_MAX]); break;
	case 4: run.now += take_byte(&run.input) * 40u; break;
	case 5: run.runner_is_full = !run.runner_is_full; break;
	case 6:
		if (operation & 64)
			runner_look(account);
		runner_settle(account);
		break;
	case 10: runner_look(account); break;
	case 7: datagrams_send(1); break;
	case 11: datagrams_send(DATAGRAMS_MOST + 1); break;
	case 8: waiter_turns(account, operation & 64); break;
	default: client_connect_here(); break;
	}
	return true;
}

static unsigned list_length(uint32_t from, bool is_open)
{
	const struct pending_list *list = &made.network.pending;
	unsigned length = 0;

	for (; from != PENDING_NONE; from = list->pending[from].newer) {
		must(from < list->most && (list->pending[from].fd >= 0) == is_open);
		must(length++ < list->most);
	}
	return length;
}

static unsigned verdicts_counted(void)
{
	unsigned sum = 0;

	for (unsigned verdict = 0; verdict < VERDICTS; verdict++) {
		sum += atomic_load(&made.accounts.denied->verdicts[verdict]);
		for (unsigned account = 0; account < made.accounts.count; account++)
			sum += atomic_load(&made.accounts.served[account].state->verdicts[verdict]);
	}
	return sum;
}

/* Whose process starts the action, unless another does. */
static void check_turn_request(unsigned account)
{
	const struct request *request = &made.network.requester.turn_request[account].request;

	must(turn_request_is_open(&made.network.requester, account) && request->has_line && request->number >= run.needed[account]);
	must(request->noted == atomic_load(&made.accounts.served[account].state->starts));
}

/* What holds whenever nothing is left to read. */
static void check_rest(void)
{
	const struct pending_list *list = &made.network.pending;
	unsigned pending = list_length(list->oldest, true);

	must(pending + list_length(list->free, false) == list->most);
	must(pending + verdicts_counted() + run.lines == run.taken);
	for (unsigned account = 0; account < made.accounts.count; account++) {
		must(run.runner_is_full || run.heard[account] == run.number[account]);
		if (run.is_owed[account])
			check_turn_request(account);
	}
}

/* Instead of waiting: does an operation, lets the loop read all that came of it, then checks. */
static int wait_for_input(int epoll, struct epoll_event *event, int most, int timeout)
{
	int count;

	must(timeout >= 0 && timeout <= 60000);
	count = epoll_wait(epoll, event, most, 0);
	if (count > 0) {
		must(run.rounds++ < OPERATIONS * ROUNDS_MAX);
		return count;
	}
	check_rest();
	if (run.runner_is_gone || !step()) {
		run.runner_is_gone = true;
		must(shutdown(made.runner, SHUT_RDWR) == 0);
	}
	return epoll_wait(epoll, event, most, 0);
}

/* Nobody does anything meanwhile, so what is there now was there before, and has been left: which is
 * right only where there is no descriptor for it. */
static int nap_of_loop(const struct timespec *time)
{
	struct epoll_event event;
	int spare = dup(made.network.epoll);

	must(time->tv_sec == 0 && time->tv_nsec <= 1000000);
	must(epoll_wait(made.network.epoll, &event, 1, 0) == 0 || spare < 0 || made.network.requester.is_runner_gone);
	if (spare >= 0)
		(void)close(spare);
	return 0;
}

/* ---- What is made once ---- */

static void refuse_report(void *context, enum severity severity, const char *file, unsigned line,
	const char *message)
{
	(void)context;
	(void)severity;
	(void)fprintf(stderr, "%s:%u: %s\n", file, line, message);
	abort();
}

static void make_configuration(void)
{
	static const char *const lines[] = { "user nobody", "action /bin/true", "limit 1000/s burst 1000",
		"interval 0s", "idle 0s", "account first",
		"from 192.0.2.0/24 2001:db8::/32 127.0.0.0/8", "read-timeout 2s", "account second",
		"from 10.0.0.0/8 local", "bare-lf yes", "read-timeout 9s" };

	conf_begin(&made.conf, refuse_report, NULL);
	for (unsigned i = 0; i < COUNT(lines); i++)
		conf_option(&made.conf, lines[i], i + 1);
	must(conf_end(&made.conf));
}

static struct state *make_state(void)
{
	void *state = mmap(NULL, sizeof(struct state), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	must(state != MAP_FAILED);
	return state;
}

static void make_accounts(void)
{
	made.accounts.count = made.conf.accounts_count;
	must(made.accounts.count == 2);
	made.accounts.denied = make_state();
	for (unsigned i = 0; i < made.accounts.count; i++) {
		struct served_account *served = &made.accounts.served[i];
		char path[64];

		served->account = &made.conf.accounts[i];
		served->state = make_state();
		served->turn = decision_turn(served->account, served->state);
		served->turn.fd = memfd_create("turn", MFD_CLOEXEC);
		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", served->turn.fd);
		made.waiter[i] = open(path, O_RDWR | O_CLOEXEC);
		must(served->turn.fd >= 0 && made.waiter[i] >= 0);
	}
}

/* Addresses of 127.0.0.0/8 are all this machine's. */
static int make_datagram_socket(uint32_t address, struct sockaddr_in *bound)
{
	struct sockaddr_in place = { .sin_family = AF_INET, .sin_addr = { htonl(address) } };
	socklen_t length = sizeof(place);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	must(fd >= 0 && bind(fd, (struct sockaddr *)&place, sizeof(place)) == 0);
	must(getsockname(fd, (struct sockaddr *)&place, &length) == 0);
	if (bound != NULL)
		*bound = place;
	return fd;
}

/* An abstract name that the kernel chooses (unix(7), "Autobind feature"). */
static int make_stream_listener(void)
{
	struct sockaddr_un place = { .sun_family = AF_UNIX };
	socklen_t length = sizeof(place.sun_family);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	must(fd >= 0 && bind(fd, (struct sockaddr *)&place, length) == 0 && listen(fd, 64) == 0);
	length = sizeof(made.streams);
	must(getsockname(fd, (struct sockaddr *)&made.streams, &length) == 0);
	return fd;
}

static unsigned descriptors_open(void)
{
	unsigned count = 0;

	for (int fd = 0; fd < DESCRIPTORS; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void make_all(void)
{
	struct rlimit limit = { .rlim_cur = DESCRIPTORS, .rlim_max = DESCRIPTORS };

	must(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	must(dup2(STDERR_FILENO, RUNNER_FD) == RUNNER_FD); /* nothing else gets that number */
	make_configuration();
	make_accounts();
	made.listener[0] = (struct listener){ .is_datagram = true, .is_internet = true };
	made.listener[0].fd = make_datagram_socket(INADDR_LOOPBACK, &made.datagrams);
	made.listener[1].fd = make_stream_listener();
	for (unsigned i = 0; i < COUNT(made.sender); i++)
		made.sender[i] = make_datagram_socket(INADDR_LOOPBACK + 1 + i, NULL);
}

/* ---- One input ---- */

static void begin(const uint8_t *data, size_t size)
{
	int pair[2];

	memset(&run, 0, sizeof(run));
	memset(&made.network, 0, sizeof(made.network));
	made.network.conf = &made.conf;
	made.network.accounts = &made.accounts;
	made.network.progress = &made.progress;
	made.network.listener = made.listener;
	made.network.listeners_count = COUNT(made.listener);
	made.network.alive_every.ms = 5000;
	memset(&made.progress, 0, sizeof(made.progress));
	memset(made.accounts.denied, 0, STATE_HEADER_BYTES);
	for (unsigned i = 0; i < made.accounts.count; i++)
		memset(made.accounts.served[i].state, 0, sizeof(struct state));
	for (unsigned i = 0; i < CLIENTS_MAX; i++)
		run.client[i].fd = -1;
	run.input = (struct input){ data, size };
	run.now = 1000000;
	run.descriptors = descriptors_open();
	must(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
	must(dup2(pair[0], RUNNER_FD) == RUNNER_FD && close(pair[0]) == 0);
	made.runner = pair[1];
	must(network_prepare(&made.network));
}

/* What the runner had not settled is owed now. */
static void check_debts(void)
{
	for (unsigned account = 0; account < made.accounts.count; account++) {
		if (run.is_owed[account])
			must(atomic_load(&made.accounts.served[account].state->asked) != 0);
		if (run.is_waited[account])
			waiter_turns(account, false);
	}
}

static void end(void)
{
	struct sockaddr_un place;
	struct pending *pending;
	socklen_t length = sizeof(place);
	int fd;

	while ((pending = pending_oldest(&made.network.pending)) != NULL) {
		(void)close(pending->fd);
		pending_remove(&made.network.pending, pending);
	}
	for (unsigned i = 0; i < CLIENTS_MAX; i++)
		client_end(&run.client[i]);
	(void)close(made.network.epoll);
	(void)close(made.runner);
	must(dup2(STDERR_FILENO, RUNNER_FD) == RUNNER_FD);
	while ((fd = accept(made.listener[1].fd, (struct sockaddr *)&place, &length)) >= 0)
		(void)close(fd);
	must(descriptors_open() == run.descriptors);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (made.accounts.count == 0)
		make_all();
	begin(data, size);
	must(network_serve(&made.network) == EX_OSERR);
	check_debts();
	end();
	return 0;
}
