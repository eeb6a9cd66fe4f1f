/* SPDX-License-Identifier: ISC */
/*
 * Requests of the control socket: one JSON object in a line. Pure; used by control
 * only. What it lets through goes to other roles, so it takes no doubles, no other
 * type, no unknown command; each role checks its own members.
 */
#include "control/control.h"

#include "base/enc.h"
#include "base/list.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

static const struct control_command commands[] = {
    {"queue.list", CONTROL_TO_QUEUE, false},
    {"queue.show", CONTROL_TO_QUEUE, false},
    {"queue.retry", CONTROL_TO_QUEUE, true},
    {"queue.hold", CONTROL_TO_QUEUE, true},
    {"queue.release", CONTROL_TO_QUEUE, true},
    {"queue.remove", CONTROL_TO_QUEUE, true},
    {"queue.bounce", CONTROL_TO_QUEUE, true},
    {"history", CONTROL_TO_QUEUE, false},
    {"account.list", CONTROL_TO_LEDGER, false},
    {"account.clear", CONTROL_TO_LEDGER, true},
    {"stats", CONTROL_TO_ALL, false},
    {"explain", CONTROL_TO_SELF, false},
    {"reload", CONTROL_TO_SUPERVISOR, true},
    {"state", CONTROL_TO_SUPERVISOR, false},
    {"auth.test", CONTROL_TO_AUTH, true},
};

static const struct control_command *
command_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

/* Requests without members of their own. */
static int
check_bare(const struct control_request *r, char *err, size_t errsize)
{
	const char *key;
	json_t *value;

	if (r->command->target != CONTROL_TO_SUPERVISOR && r->command->target != CONTROL_TO_ALL)
		return 0;
	json_object_foreach(r->json, key, value)
	{
		if (strcmp(key, "cmd") != 0 && strcmp(key, "user") != 0) {
			(void)str_printf(
			    err, errsize, "%s does not know \"%.40s\"", r->command->name, key);
			return -1;
		}
	}
	return 0;
}

static bool
is_text(const json_t *o, const char *key, size_t max, bool needed)
{
	const json_t *v = json_object_get(o, key);

	if (v == NULL)
		return !needed;
	return json_is_string(v) && json_string_length(v) <= max &&
	       (!needed || json_string_length(v) > 0) &&
	       !str_has_control((struct span){json_string_value(v), json_string_length(v)});
}

/* What follows the line: the member "with", and the number of octets. */
static int
check_secret(struct control_request *r, char *err, size_t errsize)
{
	static const struct {
		const char *word, *name;
		unsigned max;
	} kinds[] = {{"password", "a password", CONTROL_MAX_SECRET},
	    {"token", "a token", CONTROL_MAX_TOKEN}, {"cert", "a certificate", CONTROL_MAX_CERT}};
	const json_t *secret = json_object_get(r->json, "secret");
	const json_t *with = json_object_get(r->json, "with");
	size_t i = 0;

	while (with != NULL && i < ARRAY_LEN(kinds) &&
	       (!json_is_string(with) || strcmp(json_string_value(with), kinds[i].word) != 0))
		i++;
	if (i == ARRAY_LEN(kinds)) {
		(void)str_copy(err, errsize, "\"with\" is password, token or cert");
		return -1;
	}
	if (!json_is_integer(secret) || json_integer_value(secret) < 1 ||
	    json_integer_value(secret) > kinds[i].max) {
		(void)str_printf(
		    err, errsize, "%s has 1 to %u octets", kinds[i].name, kinds[i].max);
		return -1;
	}
	r->cred = (uint8_t)i;
	r->secret_size = (size_t)json_integer_value(secret);
	(void)json_object_del(r->json, "secret"); /* its length is nobody's business */
	return 0;
}

/* One login to try: everything but the password. */
static int
check_test(struct control_request *r, char *err, size_t errsize)
{
	const char *key;
	json_t *value;

	json_object_foreach(r->json, key, value)
	{
		if (strcmp(key, "cmd") != 0 && strcmp(key, "user") != 0 &&
		    strcmp(key, "login") != 0 && strcmp(key, "listener") != 0 &&
		    strcmp(key, "ip") != 0 && strcmp(key, "secret") != 0 &&
		    strcmp(key, "with") != 0) {
			(void)str_printf(
			    err, errsize, "%s does not know \"%.40s\"", r->command->name, key);
			return -1;
		}
	}
	/* a token or a certificate may say by itself whose it is */
	if (!is_text(r->json, "login", 255, json_object_get(r->json, "with") == NULL) ||
	    !is_text(r->json, "listener", 255, false) || !is_text(r->json, "ip", 64, false)) {
		(void)str_copy(err, errsize, "\"login\", \"listener\" and \"ip\" are short texts");
		return -1;
	}
	return check_secret(r, err, errsize);
}

static int
check_object(struct control_request *r, char *err, size_t errsize)
{
	json_t *cmd = json_object_get(r->json, "cmd"), *user = json_object_get(r->json, "user");

	if (!json_is_string(cmd)) {
		(void)str_copy(err, errsize, "the request needs \"cmd\": its name as text");
		return -1;
	}
	r->command = command_find(json_string_value(cmd));
	if (r->command == NULL) {
		(void)str_printf(
		    err, errsize, "there is no request \"%.40s\"", json_string_value(cmd));
		return -1;
	}
	if (user != NULL && (!json_is_string(user) || json_string_length(user) > 100 ||
				str_has_control((struct span){
				    json_string_value(user), json_string_length(user)}))) {
		(void)str_copy(err, errsize, "\"user\" must be a short text");
		return -1;
	}
	return r->command->target == CONTROL_TO_AUTH ? check_test(r, err, errsize)
	                                             : check_bare(r, err, errsize);
}

int
control_request_parse(struct span line, struct control_request *out, char *err, size_t errsize)
{
	struct control_request r = {0};
	json_error_t e;

	if (line.n > CONTROL_MAX_REQUEST) {
		(void)str_copy(err, errsize, "the request is too long");
		return -1;
	}
	r.json = json_loadb(line.p, line.n, JSON_REJECT_DUPLICATES, &e);
	if (!json_is_object(r.json)) {
		(void)str_printf(err, errsize, "the request is no JSON object: %.100s",
		    r.json == NULL ? e.text : "another type");
		json_decref(r.json);
		return -1;
	}
	if (check_object(&r, err, errsize) == -1) {
		json_decref(r.json);
		return -1;
	}
	*out = r;
	return 0;
}

void
control_request_set_user(struct control_request *r, uid_t uid)
{
	const char *claimed = json_string_value(json_object_get(r->json, "user"));
	char *text;

	if (r->command->target == CONTROL_TO_SELF || !r->command->changes) {
		(void)json_object_del(r->json, "user");
		return;
	}
	if (claimed == NULL || claimed[0] == '\0')
		text = xasprintf("uid %u", (unsigned)uid);
	else
		text = xasprintf("%s (uid %u)", claimed, (unsigned)uid);
	json_object_set_new(r->json, "user", json_string(text));
	free(text);
}

const char *
control_request_user(const struct control_request *r)
{
	return json_string_value(json_object_get(r->json, "user"));
}

void
control_request_clear(struct control_request *r)
{
	json_decref(r->json);
	r->json = NULL;
	r->command = NULL;
}

void
control_end_line(struct buf *out, int status, const char *error)
{
	buf_addf(out, "{\"end\":true,\"status\":%d", status);
	if (error != NULL && error[0] != '\0') {
		buf_add_str(out, ",\"error\":");
		json_add_str(out, span_of(error));
	}
	buf_add_str(out, "}\n");
}
