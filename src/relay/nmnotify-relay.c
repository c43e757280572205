/* SPDX-License-Identifier: ISC */
/*
 * nmnotify-relay: takes events and logins from local programs, and sends the line.
 * nmnotify-relay(8).
 *
 * In the relay: as the user it was started as; from relay_confine() on under relay.policy. And in
 * the resolver, which is this program, executed anew (relay/resolver.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "lib/fd.h"
#include "policy/confine.h"
#include "relay/relay.h"
#include "relay/relay_confine.h"
#include "relay/resolver.h"
#include "relay/routing.h"
#include "relay/sockets.h"
#include "relay/status.h"
#include "relay/telling.h"
#include "sender/failure.h"

#define MESSAGE_MAX 1024
#define OPTIONS_MAX 64

/* Beside connections: files, sockets, the store's and the loop's own. */
#define OTHER_DESCRIPTORS 64

#define LAST_READS        1024

/* After a start that has failed. Where Cyrus waits for us, almost as long as systemd lets a start
 * take (TimeoutStartSec=). */
static const struct span failed_rest = { .ms = 10000 }, failed_rest_cyrus = { .ms = 80000 };

/* Between two looks at what Cyrus says meanwhile. */
#define DROP_EVERY_MS   100

#define STATUS_EVERY_MS 1000

/* From two letters that lie no further apart it is a flood. The loop may be a millisecond late: 5
 * in all, which is less than two rounds of a nap. */
#define NAP_US 4000
static const struct span flood_gap = { .ms = 10 };

/* While the store is away, it is asked again so often for addresses that only it knows. */
#define ASK_AGAIN_SECONDS 5

struct service {
	struct relay relay;
	bool has_file; /* -f */
	const char *options[OPTIONS_MAX];
	unsigned options_count;
	bool check_only, is_by_hand;
	bool is_at_terminal; /* somebody sits at standard error */
	char mistake[MESSAGE_MAX];
	int directory; /* of the state */
	sd_event_source *letters[SOCKETS_MAX];
	sd_event_source *nap;
	sd_event_source *clock; /* status, idleness */
	struct instant worked;
	unsigned seconds; /* that it has served */
};

static const char usage[] =
	"usage: nmnotify-relay [-l] [-f file] [-o line]... [-t | -V | -h]\n"
	"Tells users' machines that they have mail, as RFC 4146 says. It is started by systemd.\n"
	"  -f file     read this instead of " RELAY_CONF_FILE "\n"
	"  -o line     a line of configuration, which holds against the file's\n"
	"  -l          make the sockets that the configuration names, and log to standard error\n"
	"  -t          check the configuration, and exit\n"
	"  -V          print the version, and exit\n"
	"  -h          print this, and exit\n";

/* ---- Saying ---- */

void relay_say(void *context, const char *message)
{
	struct relay *relay = context;

	log_relay(&relay->log, "says", message, true);
}

static void say(const char *text)
{
	char bytes[MESSAGE_MAX];
	struct text line = TEXT_IN(bytes);

	text_add(&line, "%s", text);
	(void)text_write(&line, STDERR_FILENO); /* nowhere is left to say that it failed */
}

/*
 * Else the service manager would start it again at once, and what is wrong would be said each
 * second. A signal ends the wait: sigtimedwait(2) takes one that is blocked, any other ends the
 * process.
 *
 * Cyrus waits until there is room in its socket's queue, and with it deliveries and logins: so what
 * it says is read, and dropped (S3).
 */
static void rest(struct service *service)
{
	const struct timespec look = { .tv_nsec = DROP_EVERY_MS * 1000000L };
	struct deadline end;
	bool has_cyrus;
	sigset_t ends;

	if (service->is_by_hand || service->is_at_terminal || getenv("NOTIFY_SOCKET") == NULL)
		return;
	has_cyrus = sockets_drop_cyrus();
	end = deadline_in(has_cyrus ? failed_rest_cyrus : failed_rest);
	if (has_cyrus)
		log_relay(&service->relay.log, "says",
			"what Cyrus tells of meanwhile is read and dropped", true);
	(void)sigemptyset(&ends);
	(void)sigaddset(&ends, SIGTERM);
	(void)sigaddset(&ends, SIGINT);
	while (!deadline_has_passed(end) && sigtimedwait(&ends, NULL, &look) < 0)
		(void)sockets_drop_cyrus();
}

_Noreturn static void fail(struct service *service, int status, const char *what, int error)
{
	char bytes[MESSAGE_MAX];
	struct text text = TEXT_IN(bytes);

	text_add(&text, "%s%s%s", what, error != 0 ? ": " : "", error != 0 ? strerror(error) : "");
	log_relay(&service->relay.log, "error", bytes, true);
	rest(service);
	exit(status);
}

/* ---- Configuration ---- */

static void report(
	void *context, enum severity severity, const char *file, unsigned line, const char *message)
{
	struct service *service = context;
	char bytes[MESSAGE_MAX], shown[MESSAGE_MAX];
	struct text text = TEXT_IN(bytes), escaped = TEXT_IN(shown);

	text_add(&text, "%s:", file);
	if (line != 0)
		text_add(&text, "%u:", line);
	text_add(&text, " %s%s", severity == SEVERITY_WARNING ? "warning: " : "", message);
	text_add_escaped(&escaped, bytes);
	if (service->mistake[0] == '\0' && severity == SEVERITY_ERROR)
		memcpy(service->mistake, shown, sizeof(shown));
	if (service->check_only || service->is_at_terminal) {
		text_add(&escaped, "\n");
		say(shown);
	}
}

/* NULL: something is wrong, and reported. */
static struct relay_conf *conf_read(struct service *service)
{
	struct relay_conf *conf = calloc(1, sizeof(*conf));

	service->mistake[0] = '\0';
	if (conf == NULL)
		return NULL;
	relay_conf_begin(conf, report, service);
	conf->reading.report.advises = service->check_only;
	for (unsigned i = 0; i < service->options_count; i++)
		relay_conf_option(conf, service->options[i], i + 1);
	relay_conf_file(
		conf, service->relay.file, !service->has_file && service->options_count != 0);
	if (relay_conf_end(conf)) {
		(void)relay_conf_own_addresses(conf); /* those that are known hold */
		return conf;
	}
	relay_conf_free(conf);
	free(conf);
	return NULL;
}

_Noreturn static void fail_usage(struct service *service, const char *wrong)
{
	log_relay(&service->relay.log, "error", wrong, true);
	say(usage);
	exit(EX_USAGE);
}

static void read_options(struct service *service, int argc, char **argv)
{
	int option;

	while ((option = getopt(argc, argv, "+:f:hlo:tV")) != -1) {
		switch (option) {
		case 'f':
			service->relay.file = optarg;
			service->has_file = true;
			break;
		case 'h': answer(usage);
		case 'l': service->is_by_hand = true; break;
		case 'o':
			if (service->options_count == OPTIONS_MAX)
				fail_usage(service, "there are too many of '-o'");
			service->options[service->options_count++] = optarg;
			break;
		case 't': service->check_only = true; break;
		case 'V': answer("nmnotify-relay " VERSION "\n");
		default: fail_usage(service, option_wrong(option));
		}
	}
	if (optind < argc)
		fail_usage(service, "an argument is too much");
}

/* ---- Beginning ---- */

static const char *state_of(const struct service *service)
{
	const char *said = service->relay.conf->state.text, *given = getenv("STATE_DIRECTORY");

	return said != NULL ? said : given != NULL ? given : RELAY_STATE;
}

static void open_state(struct service *service)
{
	const char *path = state_of(service);

	if (service->is_by_hand && mkdir(path, 0700) != 0 && errno != EEXIST)
		fail(service, EX_CANTCREAT, path, errno);
	service->directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (service->directory < 0)
		fail(service, EX_CANTCREAT, path, errno);
}

static void open_sockets(struct service *service)
{
	char bytes[MESSAGE_MAX];
	struct text wrong = TEXT_IN(bytes);

	if (!(service->is_by_hand
			    ? sockets_make(service->relay.conf, &service->relay.sockets, &wrong)
			    : sockets_take(&service->relay.sockets, &wrong)))
		fail(service, EX_CONFIG, bytes, 0);
}

/* As many descriptors as connections; fewer connections, if there cannot be so many. */
static void raise_limit(struct service *service)
{
	rlim_t wanted = (rlim_t)service->relay.conf->most + OTHER_DESCRIPTORS;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
		return;
	limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
	(void)setrlimit(RLIMIT_NOFILE, &limit); /* it is not above the hard one */
	if (limit.rlim_cur < wanted) {
		service->relay.conf->most = limit.rlim_cur > 2 * OTHER_DESCRIPTORS
						    ? (uint32_t)(limit.rlim_cur - OTHER_DESCRIPTORS)
						    : OTHER_DESCRIPTORS / 2;
		relay_say(&service->relay, "the hard limit of descriptors allows fewer connections "
					   "than `most`: LimitNOFILE= raises it");
	}
}

/* A beginning may have been almost a millisecond later than its instant says: so much is added to
 * what has to lie between two. */
static struct owed_bounds bounds_of(const struct relay_conf *conf)
{
	return (struct owed_bounds){ .settle = conf->settle,
		.interval = { .ms = conf->interval.ms + 1 },
		.keep = conf->keep,
		.users = conf->users,
		.connections = conf->most };
}

static void open_store(struct service *service)
{
	struct relay *relay = &service->relay;
	const struct relay_conf *conf = relay->conf;
	char bytes[MESSAGE_MAX];
	struct text own = TEXT_IN(bytes);
	const char *wrong;

	text_add(&own, "lmdb:%s/last", state_of(service));
	relay->store = store_open(conf->store.text != NULL ? conf->store.text : bytes,
		conf->password_file.text, conf->last_for.s, conf->users, relay->loop, relay_say,
		relay, &wrong);
	if (relay->store == NULL)
		fail(service, EX_CONFIG, wrong, 0);
}

static void open_parts(struct service *service)
{
	struct relay *relay = &service->relay;
	struct owed_bounds bounds = bounds_of(relay->conf);
	uint64_t key[2];

	if (getrandom(key, sizeof(key), 0) != (ssize_t)sizeof(key))
		fail(service, EX_OSERR, "getrandom", errno);
	relay->owed = owed_open(service->directory, &bounds, key, instant_now, relay_say, relay);
	if (relay->owed == NULL)
		fail(service, EX_OSERR, "the table of what is owed", errno);
	relay->inbox = inbox_open(service->directory, routing_read, relay_say, relay);
	open_store(service);
	if (relay->conf->table.text != NULL)
		relay->table = table_open(relay->conf->table.text, relay_say, relay);
	relay->names = names_open(relay->conf->timeout, relay->loop, relay_say, relay);
	relay->telling = telling_open(relay);
	if (relay->inbox == NULL || relay->names == NULL || relay->telling == NULL)
		fail(service, EX_OSERR, "no memory", 0);
}

/* ---- Serving ---- */

/* What waits there keeps waking the loop: it rests until the next second. */
static void rest_from(struct service *service, unsigned i, int error)
{
	char bytes[MESSAGE_MAX];
	struct text text = TEXT_IN(bytes);

	(void)sd_event_source_set_enabled(service->letters[i], SD_EVENT_OFF);
	if (!service->relay.sockets.socket[i].is_deaf) {
		text_add(&text, "a socket cannot be read: %s: it is tried again", strerror(error));
		relay_say(&service->relay, bytes);
	}
	service->relay.sockets.socket[i].is_deaf = true;
}

static void listen_again(struct service *service)
{
	for (int i = 0; i < service->relay.sockets.count; i++)
		(void)sd_event_source_set_enabled(service->letters[i], SD_EVENT_ON);
	if (service->relay.status != NULL)
		status_listen_again(service->relay.status);
}

/*
 * Who tells comsat tells of one mail at a time: in a flood each would wake this process, which
 * costs the delivery and it more than all the rest. So if one has come soon after another, that
 * socket is not looked at for a while, in which the kernel keeps what comes (ReceiveBuffer=).
 */
static void nap_in_flood(
	struct service *service, struct socket *socket, int received, struct instant now)
{
	struct instant before = socket->read;
	unsigned i = (unsigned)(socket - service->relay.sockets.socket);

	socket->read = now;
	if (socket->kind != INBOX_BIFF || received >= INBOX_LETTERS ||
		instant_is_over(instant_add(before, flood_gap), now) ||
		sd_event_source_set_time_relative(service->nap, NAP_US) < 0 ||
		sd_event_source_set_enabled(service->nap, SD_EVENT_ONESHOT) < 0)
		return;
	(void)sd_event_source_set_enabled(service->letters[i], SD_EVENT_OFF);
	socket->is_napping = true;
}

static int on_nap_over(sd_event_source *source, uint64_t at, void *context)
{
	struct service *service = context;
	struct sockets *sockets = &service->relay.sockets;

	(void)source;
	(void)at;
	for (int i = 0; i < sockets->count; i++)
		if (sockets->socket[i].is_napping) {
			(void)sd_event_source_set_enabled(service->letters[i], SD_EVENT_ON);
			sockets->socket[i].is_napping = false;
		}
	return 0;
}

static int on_letters(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct service *service = context;
	struct relay *relay = &service->relay;
	struct instant now = instant_now();
	struct socket *socket = relay->sockets.socket;
	uint32_t lost;
	int received;

	(void)source;
	(void)events;
	while (socket->fd != fd)
		socket++;
	lost = socket->lost;
	received = inbox_receive(relay->inbox, fd, socket->kind, now, &lost);
	if (received >= 0)
		socket->is_deaf = false;
	else if (errno != EAGAIN && errno != EINTR)
		rest_from(service, (unsigned)(socket - relay->sockets.socket), errno);
	if (lost != socket->lost) {
		relay->lost += lost - socket->lost;
		socket->lost = lost;
		relay_say(relay, "more came than a socket's queue could take: datagrams were lost "
				 "(ReceiveBuffer=, net.unix.max_dgram_qlen)");
	}
	if (received > 0)
		nap_in_flood(service, socket, received, now);
	service->worked = now;
	routing_go_on(relay);
	telling_go_on(relay->telling);
	if (relay->is_caught_up)
		listen_again(service);
	relay->is_caught_up = false;
	return 0;
}

static void say_status(const struct relay *relay)
{
	const struct owed_counts *counts = owed_counts(relay->owed);

	(void)sd_notifyf(0,
		"STATUS=%u users owed, %u connections; %llu events, %llu logins, %llu told, "
		"%llu tries failed, %llu given up, %llu refused, %llu lost",
		owed_users(relay->owed), owed_busy(relay->owed), (unsigned long long)relay->events,
		(unsigned long long)relay->logins, (unsigned long long)counts->done,
		(unsigned long long)counts->failed, (unsigned long long)counts->expired,
		(unsigned long long)relay->refusals, (unsigned long long)relay->lost);
}

/* Once a second. */
static int on_clock(sd_event_source *source, uint64_t at, void *context)
{
	struct service *service = context;
	struct relay *relay = &service->relay;
	struct instant now = instant_now();
	struct span idle = relay->conf->idle;

	(void)at;
	say_status(relay);
	listen_again(service);
	if (++service->seconds % ASK_AGAIN_SECONDS == 0)
		routing_ask_again(relay);
	if (owed_users(relay->owed) != 0)
		service->worked = now;
	if (!service->is_by_hand && idle.ms != 0 &&
		instant_is_over(instant_add(service->worked, idle), now) &&
		(relay->status == NULL || status_leave(relay->status, source)))
		return sd_event_exit(relay->loop, EX_OK);
	(void)sd_event_source_set_time_relative(source, STATUS_EVERY_MS * 1000ull);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int on_end(sd_event_source *source, const struct signalfd_siginfo *signal, void *context)
{
	(void)signal;
	(void)context;
	return sd_event_exit(sd_event_source_get_event(source), EX_OK);
}

static bool is_same(const struct said_text *a, const struct said_text *b)
{
	return a->text == NULL || b->text == NULL ? a->text == b->text
						  : strcmp(a->text, b->text) == 0;
}

/* A reload does not change what is open: that is said. */
static void say_unchanged(struct service *service, const struct relay_conf *old)
{
	const struct relay_conf *conf = service->relay.conf;

	if (!is_same(&conf->store, &old->store) || !is_same(&conf->state, &old->state) ||
		!is_same(&conf->password_file, &old->password_file) || conf->users != old->users ||
		conf->last_for.s != old->last_for.s)
		relay_say(&service->relay, "store, password-file, state, users and last-for hold "
					   "from the next start on");
}

static void reload(struct service *service)
{
	struct relay *relay = &service->relay;
	struct relay_conf *conf = conf_read(service), *old = relay->conf;
	struct owed_bounds bounds;

	if (conf == NULL) {
		log_relay(&relay->log, "error", service->mistake, true);
		relay_say(relay, "the configuration stays as it was");
		relay->history.conf_refused = clock_milliseconds(CLOCK_REALTIME) / 1000;
		return;
	}
	relay->conf = conf;
	relay->history.conf_read = clock_milliseconds(CLOCK_REALTIME) / 1000;
	relay->history.conf_refused = 0;
	raise_limit(service);
	bounds = bounds_of(conf);
	owed_set_bounds(relay->owed, &bounds);
	if (relay->table != NULL)
		table_close(relay->table);
	relay->table =
		conf->table.text != NULL ? table_open(conf->table.text, relay_say, relay) : NULL;
	relay->log.target = service->is_by_hand ? LOG_TARGET_STDERR : conf->log;
	names_reload(relay->names);
	owed_reroute_all(relay->owed);
	say_unchanged(service, old);
	relay_conf_free(old);
	free(old);
	log_relay(&relay->log, "says", "the configuration was read again", false);
	routing_go_on(relay);
	telling_go_on(relay->telling);
}

/* To the microsecond: systemd ignores the message if this is earlier than its signal
 * (sd_notify(3)). */
static void say_reloading(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now); /* fails for no clock that there is */
	(void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu",
		(unsigned long long)now.tv_sec * 1000000 + (unsigned long long)now.tv_nsec / 1000);
}

static int on_reload(sd_event_source *source, const struct signalfd_siginfo *signal, void *context)
{
	struct service *service = context;

	(void)source;
	(void)signal;
	say_reloading();
	reload(service);
	(void)sd_notify(0, "READY=1");
	return 0;
}

/* Where there is a proxy it begins later, perhaps with a login that was before a mail. So what mail
 * systems say elsewhere is not looked at until it has caught up, or for a second: on_clock(). */
static bool is_for_later(const struct sockets *sockets, enum inbox_kind kind)
{
	bool has_proxy = false;

	for (int i = 0; i < sockets->count; i++)
		has_proxy = has_proxy || sockets->socket[i].kind == INBOX_PROXIED;
	return has_proxy && (kind == INBOX_BIFF || kind == INBOX_CYRUS);
}

static bool listen_to_all(struct service *service)
{
	struct relay *relay = &service->relay;
	sd_event *loop = relay->loop;

	for (int i = 0; i < relay->sockets.count; i++) {
		const struct socket *socket = &relay->sockets.socket[i];

		inbox_prepare(socket->fd, socket->kind);
		if (sd_event_add_io(loop, &service->letters[i], socket->fd, EPOLLIN, on_letters,
			    service) < 0 ||
			(is_for_later(&relay->sockets, socket->kind) &&
				sd_event_source_set_enabled(service->letters[i], SD_EVENT_OFF) < 0))
			return false;
	}
	if (relay->sockets.status >= 0 && (relay->status = status_open(relay)) == NULL)
		return false;
	return sd_event_add_time_relative(loop, &service->nap, CLOCK_BOOTTIME, NAP_US, 1000,
		       on_nap_over, service) >= 0 &&
	       sd_event_add_time_relative(loop, &service->clock, CLOCK_BOOTTIME,
		       STATUS_EVERY_MS * 1000ull, 100000, on_clock, service) >= 0 &&
	       sd_event_add_signal(loop, NULL, SIGTERM, on_end, service) >= 0 &&
	       sd_event_add_signal(loop, NULL, SIGINT, on_end, service) >= 0 &&
	       sd_event_add_signal(loop, NULL, SIGHUP, on_reload, service) >= 0 &&
	       sd_event_set_watchdog(loop, true) >= 0;
}

static void block_signals(void)
{
	sigset_t signals;

	(void)sigemptyset(&signals);
	(void)sigaddset(&signals, SIGTERM);
	(void)sigaddset(&signals, SIGINT);
	(void)sigaddset(&signals, SIGHUP);
	(void)sigprocmask(SIG_SETMASK, &signals, NULL); /* fails for no valid set */
	(void)signal(SIGPIPE, SIG_IGN);
}

/* When it ends: what waits is owed then, too, and read by nobody else until the next start. At most
 * so many times what the inbox takes at once, if more comes all the time. */
static void read_what_waits(struct service *service)
{
	struct sockets *sockets = &service->relay.sockets;

	for (int i = 0; i < sockets->count; i++)
		for (unsigned times = 0; times < LAST_READS; times++)
			if (inbox_receive(service->relay.inbox, sockets->socket[i].fd,
				    sockets->socket[i].kind, instant_now(),
				    &sockets->socket[i].lost) <= 0)
				break;
}

static int serve(struct service *service)
{
	struct relay *relay = &service->relay;
	int status;

	if (!listen_to_all(service))
		fail(service, EX_OSERR, "the loop", errno);
	if (!relay_confine(relay->conf, relay->file, state_of(service)))
		fail(service, EX_OSERR, "this process cannot be confined", errno);
	service->worked = instant_now();
	inbox_read_left(relay->inbox, service->worked);
	relay->is_caught_up = false; /* that was another proxy */
	routing_go_on(relay);
	telling_go_on(relay->telling);
	(void)sd_notify(0, "READY=1");
	status = sd_event_loop(relay->loop);
	(void)sd_notify(0, "STOPPING=1");
	read_what_waits(service);
	if (relay->status != NULL)
		status_close(relay->status);
	telling_close(relay->telling);
	names_close(relay->names);
	store_close(relay->store);
	if (relay->table != NULL)
		table_close(relay->table);
	inbox_close(relay->inbox);
	owed_close(relay->owed);
	relay_conf_free(relay->conf);
	free(relay->conf);
	for (int i = 0; i < relay->sockets.count; i++)
		(void)sd_event_source_unref(service->letters[i]);
	(void)sd_event_unref(relay->loop);
	if (status < 0)
		fail(service, EX_OSERR, "the loop", -status);
	return status;
}

int main(int argc, char **argv)
{
	static struct service service;
	struct streams streams;

	if (argc > 0 && strcmp(argv[0], RESOLVER_NAME) == 0)
		return resolver_main();
	process_guard();
	if (!streams_guard(&streams, true, false))
		return EX_OSERR;
	service.relay.log =
		(struct log){ .program = "nmnotify-relay", .stderr_usable = streams.stderr_usable };
	service.relay.file = RELAY_CONF_FILE;
	service.relay.user = geteuid();
	service.relay.history =
		(struct history){ .began = clock_milliseconds(CLOCK_REALTIME) / 1000,
			.mistake = service.mistake };
	service.relay.history.conf_read = service.relay.history.began;
	service.is_at_terminal = isatty(STDERR_FILENO) == 1;
	read_options(&service, argc, argv);
	if (service.is_by_hand)
		service.relay.log.target = LOG_TARGET_STDERR;
	service.relay.conf = conf_read(&service);
	if (service.check_only)
		return service.relay.conf != NULL ? EX_OK : EX_CONFIG;
	if (service.relay.conf == NULL)
		fail(&service, EX_CONFIG, service.mistake, 0);
	if (!service.is_by_hand)
		service.relay.log.target = service.relay.conf->log;
	block_signals();
	open_state(&service);
	open_sockets(&service);
	raise_limit(&service);
	if (sd_event_default(&service.relay.loop) < 0)
		fail(&service, EX_OSERR, "the loop", errno);
	open_parts(&service);
	return serve(&service);
}
