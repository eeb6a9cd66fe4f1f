/* SPDX-License-Identifier: ISC */
/*
 * Process `control`: takes one request per connection from submitctl, hands it to
 * the role that knows the answer and relays what comes back, line by line. Holds no
 * state beyond the open connections. It must never wait for a client: a slow one is
 * cut off, and what it asked is cancelled.
 */
#include "control/control.h"
#include "control/control_client.h"

#include "base/enc.h"
#include "base/ev.h"
#include "base/io.h"
#include "base/list.h"
#include "base/log.h"
#include "base/str.h"
#include "ipc/audit_outbox.h"
#include "policy/explain.h"
#include "proc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static uint64_t last_id;
static int listen_fd = -1;
static struct ev_watch listen_watch;

/* ---- requests ----------------------------------------------------------------------------------
 */

/* What was asked for, besides the command and who asks: "login=ann listener=submission". */
static void
format_request(json_t *request, struct buf *out)
{
	const char *name;
	json_t *v;

	json_object_foreach(request, name, v)
	{
		char *dump =
		    json_is_string(v) ? NULL : json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);

		if (strcmp(name, "cmd") != 0 && strcmp(name, "user") != 0)
			buf_addf(out, "%s%s=%s", buf_len(out) == 0 ? "" : " ", name,
			    json_is_string(v) ? json_string_value(v)
			    : dump == NULL    ? ""
					      : dump);
		free(dump);
	}
}

static void
audit(const struct control_client *c)
{
	struct buf text = BUF_INIT;
	struct log_line l;
	char *json = json_dumps(c->req.json, JSON_COMPACT);

	log_begin(&l, LOG_LEVEL_INFO, EV_OPERATOR);
	log_str(&l, LK_COMMAND, c->req.command->name);
	log_str(&l, LK_USER, control_request_user(&c->req));
	format_request(c->req.json, &text);
	if (buf_len(&text) > 0)
		log_str(&l, LK_TEXT, buf_cstr(&text));
	log_end(&l);
	buf_clear(&text);
	if (json != NULL && proc_conf()->audit->file != NULL)
		(void)audit_outbox_note(ev_wall_ms(), "operator", span_of(json));
	free(json);
}

static void
ask_peer(struct ipc_peer *p, void *arg)
{
	struct control_client *c = arg;
	struct ipc_ctl_req m = {.request = c->id};
	char *json = json_dumps(c->req.json, JSON_COMPACT);

	m.json = span_of(json);
	if (json != NULL && ipc_send_ctl_req(p, -1, &m) == 0)
		control_client_wait_for(c, p);
	free(json);
}

static void
ask_role(struct control_client *c, enum role role)
{
	struct ipc_peer *p = ipc_role_peer(role, 0);
	char text[100];

	if (p != NULL)
		ask_peer(p, c);
	if (c->n_waits != 0)
		return;
	(void)str_printf(text, sizeof(text), "the %s process is not running just now; ask again",
	    role_name(role));
	control_client_end(c, 1, p == NULL ? text : "the request is too long");
}

/* Only roles that know CTL_REQ: an unknown message would cost the connection to the peer. */
static const enum role counted[] = {ROLE_FRONT, ROLE_AUTH, ROLE_QUEUE, ROLE_DELIVER, ROLE_LEDGER};

static void
ask_all(struct control_client *c)
{
	for (size_t i = 0; i < ARRAY_LEN(counted); i++)
		ipc_role_each(counted[i], ask_peer, c);
	if (c->n_waits == 0)
		control_client_end(c, 1, "no process answers just now; ask again");
}

static void
ask_supervisor(struct control_client *c)
{
	struct ipc_peer *p = ipc_role_peer(ROLE_SUPERVISOR, 0);
	struct ipc_proc_reload reload = {.request = c->id};
	struct ipc_proc_state state = {.request = c->id};
	int rc;

	if (p == NULL) {
		control_client_end(c, 1, "the supervisor does not answer");
		return;
	}
	control_client_wait_for(c, p);
	rc = c->req.command->changes ? ipc_send_proc_reload(p, -1, &reload)
	                             : ipc_send_proc_state(p, -1, &state);
	if (rc == -1)
		control_client_end(c, 1, "the supervisor does not answer");
}

static void
explain_row(void *arg, const char *json)
{
	control_client_row(arg, span_of(json));
}

static void
explain(struct control_client *c)
{
	struct explain_request q;
	char err[512] = "";
	int rc;

	if (explain_request_from_json(c->req.json, &q, err, sizeof(err)) == -1) {
		control_client_end(c, 2, err);
		return;
	}
	rc = explain_run(proc_conf(), &q, explain_row, c, err, sizeof(err));
	control_client_end(c, rc == -1 ? 2 : rc, rc == -1 ? err : NULL);
}

static const char *
json_text(const struct control_client *c, const char *key)
{
	const char *s = json_string_value(json_object_get(c->req.json, key));

	return s == NULL ? "" : s;
}

/* A password or the like is tried: it goes on as the secret of a message of its own. */
static void
ask_auth(struct control_client *c)
{
	struct ipc_peer *p = ipc_role_peer(ROLE_AUTH, 0);
	const char *ip = json_text(c, "ip");
	struct ipc_auth_test m = {.request = c->id,
	    .listener = span_of(json_text(c, "listener")),
	    .login = span_of(json_text(c, "login")),
	    .cred = c->req.cred,
	    .password = buf_span(&c->secret)};

	if (net_addr_parse_ip(span_of(ip[0] == '\0' ? "127.0.0.1" : ip), &m.client) == -1)
		control_client_end(c, 2, "\"ip\" is no address");
	else if (p == NULL || ipc_send_auth_test(p, -1, &m) == -1)
		control_client_end(c, 1, "the auth process is not running just now; ask again");
	else
		control_client_wait_for(c, p);
	buf_wipe(&c->secret);
}

static void
client_begin(struct control_client *c)
{
	enum control_target to = c->req.command->target;

	c->id = ++last_id;
	c->answer_ms =
	    to == CONTROL_TO_ALL || to == CONTROL_TO_LEDGER ? CONTROL_SOON_MS : CONTROL_ANSWER_MS;
	ev_timer_set(&c->timer, c->answer_ms, control_client_on_timer, c);
	if (c->req.command->changes)
		audit(c);
	switch (to) {
	case CONTROL_TO_QUEUE:
		ask_role(c, ROLE_QUEUE);
		return;
	case CONTROL_TO_LEDGER:
		ask_role(c, ROLE_LEDGER);
		return;
	case CONTROL_TO_ALL:
		ask_all(c);
		return;
	case CONTROL_TO_SUPERVISOR:
		ask_supervisor(c);
		return;
	case CONTROL_TO_SELF:
		explain(c);
		return;
	case CONTROL_TO_AUTH:
		ask_auth(c);
		return;
	}
}

static void
client_request(struct control_client *c, struct span line)
{
	char err[256];

	if (control_request_parse(line, &c->req, err, sizeof(err)) == -1) {
		control_client_end(c, 2, err);
		return;
	}
	control_request_set_user(&c->req, c->uid);
	if (c->req.secret_size == 0)
		client_begin(c);
	else if (!control_socket_is_owner(c->uid))
		control_client_end(
		    c, 1, "only root and the owner of the service may try passwords");
	else
		buf_reserve(&c->secret, c->req.secret_size); /* growing would leave copies */
}

/* The octets behind the line. They stand in the buffer that all clients share: wiped at once. */
static void
take_secret(struct control_client *c, const uint8_t *p, size_t n)
{
	size_t want = c->req.secret_size - buf_len(&c->secret);
	bool open = c->id == 0 && !c->finished;

	if (open)
		buf_add(&c->secret, p, n < want ? n : want);
	explicit_bzero((void *)(uintptr_t)p, n);
	if (open && n >= want)
		client_begin(c);
}

/* ---- the socket --------------------------------------------------------------------------------
 */

static size_t
on_data(void *arg, const uint8_t *p, size_t n)
{
	struct control_client *c = arg;
	const uint8_t *nl;

	if (c->req.secret_size != 0) {
		take_secret(c, p, n);
		return n;
	}
	if (c->id != 0 || c->finished)
		return n; /* one request per connection */
	nl = memchr(p, '\n', n);
	if (nl == NULL) {
		if (n <= CONTROL_MAX_REQUEST)
			return 0;
		control_client_end(c, 2, "the request is too long");
		return n;
	}
	client_request(c, (struct span){(const char *)p, (size_t)(nl - p)});
	if (c->req.secret_size != 0)
		take_secret(c, nl + 1, (size_t)(p + n - nl - 1));
	return n;
}

static void
on_event(void *arg, enum io_event e)
{
	struct control_client *c = arg;

	switch (e) {
	case IO_CONNECTED:
	case IO_TLS_UP:
		return;
	case IO_DRAINED:
		io_deadline(c->io, 0);
		control_client_pause_peers(c, false);
		if (c->finished) {
			io_finish(c->io);
			control_client_free(c);
		}
		return;
	case IO_EOF:
	case IO_ERROR:
	case IO_TIMEOUT:
		control_client_drop(c);
		return;
	}
}

static const struct io_ops client_ops = {on_data, on_event};

static void
refuse(int fd, const char *why)
{
	struct buf b = BUF_INIT;

	control_end_line(&b, 1, why);
	(void)send(fd, buf_data(&b), buf_len(&b), MSG_DONTWAIT | MSG_NOSIGNAL);
	buf_clear(&b);
	close(fd);
}

static void
on_accept(int fd, short what, void *arg)
{
	struct control_client *c;
	uid_t uid = (uid_t)-1;
	int s;

	(void)what;
	(void)arg;
	s = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (s == -1)
		return;
	if (control_socket_check_peer(s, &uid) == -1) {
		log_note(LOG_LEVEL_WARN, "control socket: uid %u was turned away", (unsigned)uid);
		refuse(s, "you may not use this socket");
		return;
	}
	if (control_n_clients >= CONTROL_MAX_CLIENTS) {
		refuse(s, "too many clients at the control socket; try again");
		return;
	}
	c = xcallocarray(1, sizeof(*c));
	c->uid = uid;
	c->io = io_new(s, false, &client_ops, c);
	TAILQ_INSERT_TAIL(&control_clients, c, link);
	control_n_clients++;
	ev_timer_set(&c->timer, CONTROL_REQUEST_MS, control_client_on_timer, c);
}

/* ---- answers of other processes ----------------------------------------------------------------
 */

/* What another process says is one object in one line, or it is not passed on. */
static bool
is_row(struct span s)
{
	return s.n >= 2 && s.p[0] == '{' && s.p[s.n - 1] == '}' && !str_has_control(s) &&
	       utf8_valid(s);
}

/* The last frame of one process: a row, or {"error":…} or {"end":…}, which are not rows of ours. */
static json_t *
last_frame(struct control_client *c, struct span last)
{
	json_t *o = is_row(last) ? json_loadb(last.p, last.n, JSON_REJECT_DUPLICATES, NULL) : NULL;

	if (o != NULL && json_object_get(o, "error") == NULL && json_object_get(o, "end") == NULL)
		control_client_row(c, last);
	return o;
}

/* The words of an error go into our last line. */
static void
end_with(struct control_client *c, int status, struct span last)
{
	json_t *o = last_frame(c, last);

	control_client_end(c, status, json_string_value(json_object_get(o, "error")));
	json_decref(o);
}

static int
on_ctl_res(struct ipc_peer *p, struct ipc_in *in)
{
	struct ipc_ctl_res m;
	struct control_client *c;

	if (ipc_decode_ctl_res(in, &m) == -1)
		return -1;
	c = control_client_find(m.request);
	if (c == NULL)
		return 0; /* cancelled meanwhile */
	if (m.more) {
		if (!is_row(m.json))
			return -1;
		control_client_row(c, m.json);
		return 0;
	}
	control_client_answered(c, p);
	if (m.status > c->status)
		c->status = m.status;
	if (c->n_waits == 0)
		end_with(c, c->status, m.json);
	else /* others go on: their rows come before our end */
		json_decref(last_frame(c, m.json));
	return 0;
}

static int
on_reloaded(struct ipc_peer *p, struct ipc_in *in)
{
	struct ipc_proc_reloaded m;
	struct control_client *c;
	struct buf b = BUF_INIT;

	(void)p;
	if (ipc_decode_proc_reloaded(in, &m) == -1)
		return -1;
	c = control_client_find(m.request);
	if (c == NULL)
		return 0;
	if (m.text.n != 0) {
		buf_add_str(&b, "{\"finding\":");
		json_add_str(&b, m.text);
		buf_add_str(&b, "}");
		control_client_row(c, buf_span(&b));
		buf_clear(&b);
	}
	if (!m.more)
		control_client_end(c, m.ok ? 0 : 1,
		    m.ok ? NULL
			 : "the new configuration is refused; the running one stays in force");
	return 0;
}

static int
on_stated(struct ipc_peer *p, struct ipc_in *in)
{
	struct ipc_proc_stated m;
	struct control_client *c;

	(void)p;
	if (ipc_decode_proc_stated(in, &m) == -1)
		return -1;
	c = control_client_find(m.request);
	if (c != NULL)
		end_with(c, 0, m.json);
	return 0;
}

static void
on_peer_down(struct ipc_peer *p)
{
	struct control_client *c, *next;
	char text[100];

	TAILQ_FOREACH_SAFE (c, &control_clients, link, next) {
		size_t before = c->n_waits;

		control_client_answered(c, p);
		if (c->n_waits == before || c->n_waits != 0 || c->finished)
			continue;
		if (c->req.command->target == CONTROL_TO_ALL) {
			/* who was asked only because it was there, as one of before a reload */
			control_client_end(c, c->status, NULL);
			continue;
		}
		(void)str_printf(text, sizeof(text), "the %s process was restarted; ask again",
		    role_name(ipc_peer_role(p)));
		control_client_end(c, 1, text);
	}
}

/* ---- the role ----------------------------------------------------------------------------------
 */

static int
prepare(const struct conf *conf, char *err, size_t errsize)
{
	listen_fd = control_socket_open(conf, err, errsize);
	return listen_fd == -1 ? -1 : 0;
}

static int
start(const struct conf *conf, char *err, size_t errsize)
{
	(void)conf;
	(void)err;
	(void)errsize;
	ev_watch_set(&listen_watch, listen_fd, EV_READ | EV_PERSIST, on_accept, NULL);
	return 0;
}

static void
drain(bool hard)
{
	struct control_client *c, *next;

	(void)hard;
	ev_watch_clear(&listen_watch);
	close(listen_fd);
	/* the socket's name stays: control may not remove it, the next start does */
	TAILQ_FOREACH_SAFE (c, &control_clients, link, next) {
		struct buf b = BUF_INIT;

		control_end_line(&b, 1, "submitd is stopping");
		(void)send(io_fd(c->io), buf_data(&b), buf_len(&b), MSG_DONTWAIT | MSG_NOSIGNAL);
		buf_clear(&b);
	}
	proc_exit(0);
}

static const struct ipc_handler handlers[] = {
    {IPC_CTL_RES, on_ctl_res},
    {IPC_PROC_RELOADED, on_reloaded},
    {IPC_PROC_STATED, on_stated},
    {IPC_NONE, NULL},
};

const struct proc_role control_role = {
    .role = ROLE_CONTROL,
    .name = "control",
    .per_generation = false,
    .sandbox = SANDBOX_ACCEPT | SANDBOX_UNIX_LISTEN,
    .prepare = prepare,
    .start = start,
    .drain = drain,
    .ipc = {handlers, NULL, on_peer_down},
};
