/* What rules of a network come to: boxes that do not overlap, checked against the rules themselves address by address. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "server/network.h"

struct sample {
    Pb__NetworkOptions options;
    Pb__EgressRule rules[4], *rule_pointers[4];
    Pb__CidrBlock blocks[4];
    Pb__PortRange ports[4], *port_pointers[4];
};

static void sample_init(struct sample *s)
{
    s->options = (Pb__NetworkOptions)PB__NETWORK_OPTIONS__INIT;
    s->options.egress = s->rule_pointers;
    for (size_t i = 0; i < 4; i++) {
        s->rules[i] = (Pb__EgressRule)PB__EGRESS_RULE__INIT;
        s->blocks[i] = (Pb__CidrBlock)PB__CIDR_BLOCK__INIT;
        s->ports[i] = (Pb__PortRange)PB__PORT_RANGE__INIT;
        s->rule_pointers[i] = &s->rules[i];
        s->port_pointers[i] = &s->ports[i];
    }
}

static Pb__EgressRule *add_block(struct sample *s, const char *cidr)
{
    size_t at = s->options.n_egress++;
    s->blocks[at].cidr = (char *)cidr;
    s->rules[at].destination_case = PB__EGRESS_RULE__DESTINATION_CIDR;
    s->rules[at].cidr = &s->blocks[at];
    return &s->rules[at];
}

/* One port of @s->ports for @rule. */
static void add_port(struct sample *s, Pb__EgressRule *rule, size_t at, const char *protocol,
                     int port, int end)
{
    s->ports[at].protocol = (char *)protocol;
    s->ports[at].port = port;
    s->ports[at].end_port = end;
    rule->ports = &s->port_pointers[at];
    rule->n_ports = 1;
}

static bool granted(const struct network_plan *plan, const char *address, int protocol,
                    int port)
{
    struct in_addr a;
    uint32_t n = 0;
    assert_int_equal(inet_pton(AF_INET, address, &a), 1);
    for (uint32_t i = 0; i < plan->n_grants; i++) {
        const struct launch_grant *g = &plan->grants[i];
        n += ntohl(a.s_addr) >= g->first && ntohl(a.s_addr) <= g->last &&
             protocol >= g->first_protocol && protocol <= g->last_protocol &&
             port >= g->first_port && port <= g->last_port;
    }
    assert_true(n <= 1); /* the kernel's set takes no overlaps */
    return n == 1;
}

static void make(struct sample *s, enum network_offer offer, struct network_plan *ret)
{
    CLEANUP_ERR struct err err = {0};
    if (network_plan_make(&s->options, offer, ret, &err) < 0)
        fail_msg("%s", err_text(&err));
}

static void assert_refused(struct sample *s, enum network_offer offer, const char *text)
{
    CLEANUP_ERR struct err err = {0};
    struct network_plan plan;
    assert_int_equal(network_plan_make(&s->options, offer, &plan, &err), -1);
    assert_int_equal(err.code, ERR_INVALID_ARGUMENT);
    assert_int_equal(err.n_violations, 1);
    if (strstr(err_text(&err), text) == NULL)
        fail_msg("`%s` does not say `%s`", err_text(&err), text);
}

static void test_without_rules_it_is_all_or_nothing(void **state)
{
    struct sample s;
    struct network_plan plan;
    (void)state;
    for (int denied = 0; denied < 2; denied++) {
        sample_init(&s);
        s.options.opt_deny_egress_case = PB__NETWORK_OPTIONS__OPT_DENY_EGRESS_DENY_EGRESS;
        s.options.deny_egress = denied;
        make(&s, NETWORK_OFFER_EGRESS, &plan);
        assert_int_equal(plan.network, !denied);
        assert_false(plan.ruled);
        make(&s, NETWORK_OFFER_NONE, &plan);
        assert_false(plan.network);
    }
    assert_int_equal(network_plan_make(NULL, NETWORK_OFFER_EGRESS, &plan, NULL), 0);
    assert_true(plan.network && !plan.ruled);
    sample_init(&s);
    s.options.n_egress = 1;
    s.rules[0].destination_case = PB__EGRESS_RULE__DESTINATION_ANY;
    s.rules[0].any = true;
    make(&s, NETWORK_OFFER_EGRESS, &plan);
    assert_true(plan.network && !plan.ruled);
}

static void test_a_block_with_exceptions_grants_the_rest(void **state)
{
    struct sample s;
    struct network_plan plan;
    char *except[] = {"203.0.113.0/28", "203.0.113.77", "198.51.100.0/24"};
    (void)state;
    sample_init(&s);
    (void)add_block(&s, "203.0.113.9/24");
    s.blocks[0].except = except;
    s.blocks[0].n_except = 3;
    make(&s, NETWORK_OFFER_EGRESS, &plan);
    assert_true(plan.ruled);
    assert_false(granted(&plan, "203.0.113.0", 6, 80));
    assert_false(granted(&plan, "203.0.113.15", 6, 80));
    assert_true(granted(&plan, "203.0.113.16", 6, 80));
    assert_true(granted(&plan, "203.0.113.76", 17, 53));
    assert_false(granted(&plan, "203.0.113.77", 6, 80));
    assert_true(granted(&plan, "203.0.113.78", 1, 0));
    assert_true(granted(&plan, "203.0.113.255", 6, 65535));
    assert_false(granted(&plan, "203.0.114.0", 6, 80));
    assert_false(granted(&plan, "203.0.112.255", 6, 80));
}

static void test_rules_add_up_and_an_exception_is_its_rules_own(void **state)
{
    struct sample s;
    struct network_plan plan;
    char *except[] = {"203.0.113.0/25"};
    (void)state;
    sample_init(&s);
    Pb__EgressRule *web = add_block(&s, "203.0.113.0/24");
    add_port(&s, web, 0, "TCP", 80, 443);
    s.blocks[0].except = except;
    s.blocks[0].n_except = 1;
    add_port(&s, add_block(&s, "203.0.113.64/26"), 1, "tcp", 400, 500);
    add_port(&s, add_block(&s, "203.0.113.0/24"), 2, "", 53, 0);
    (void)add_block(&s, "203.0.113.200/32");
    make(&s, NETWORK_OFFER_EGRESS, &plan);
    assert_true(granted(&plan, "203.0.113.130", 6, 443));
    assert_false(granted(&plan, "203.0.113.130", 6, 444));
    assert_false(granted(&plan, "203.0.113.130", 17, 443));
    assert_true(granted(&plan, "203.0.113.130", 17, 53));
    assert_true(granted(&plan, "203.0.113.130", 6, 53));
    assert_true(granted(&plan, "203.0.113.70", 6, 450));
    assert_false(granted(&plan, "203.0.113.70", 6, 80));
    assert_false(granted(&plan, "203.0.113.1", 6, 450));
    assert_true(granted(&plan, "203.0.113.200", 47, 0));
}

static void test_broad_blocks_do_not_reach_what_is_private_or_the_machine(void **state)
{
    static const char *const never[] = {"0.1.2.3", "127.0.0.1", "169.254.169.254", "224.0.0.1",
                                        "255.255.255.255"};
    static const char *const private[] = {"10.0.0.0",      "10.255.255.255", "100.64.0.1",
                                          "172.16.0.1",    "172.31.255.255", "192.168.0.1",
                                          "198.19.255.255"};
    struct sample s;
    struct network_plan plan;
    (void)state;
    for (int any = 0; any < 2; any++) {
        sample_init(&s);
        Pb__EgressRule *rule = add_block(&s, "0.0.0.0/0");
        if (any) {
            rule->destination_case = PB__EGRESS_RULE__DESTINATION_ANY;
            rule->any = true;
        }
        add_port(&s, rule, 0, "TCP", 443, 0);
        make(&s, NETWORK_OFFER_PRIVATE, &plan);
        for (size_t i = 0; i < ARRAY_SIZE(never); i++)
            assert_false(granted(&plan, never[i], 6, 443));
        for (size_t i = 0; i < ARRAY_SIZE(private); i++)
            assert_false(granted(&plan, private[i], 6, 443));
        assert_true(granted(&plan, "1.1.1.1", 6, 443));
        assert_true(granted(&plan, "172.32.0.0", 6, 443));
        assert_true(granted(&plan, "223.255.255.255", 6, 443));
        assert_false(granted(&plan, "1.1.1.1", 6, 80));
    }
}

static void test_private_blocks_are_granted_where_the_operator_lets_them(void **state)
{
    struct sample s;
    struct network_plan plan;
    (void)state;
    sample_init(&s);
    (void)add_block(&s, "10.1.0.0/16");
    assert_refused(&s, NETWORK_OFFER_EGRESS, "--network egress-private");
    make(&s, NETWORK_OFFER_PRIVATE, &plan);
    assert_true(granted(&plan, "10.1.2.3", 6, 5432));
    assert_false(granted(&plan, "10.2.0.0", 6, 5432));
    sample_init(&s);
    (void)add_block(&s, "169.254.169.254/32");
    assert_refused(&s, NETWORK_OFFER_PRIVATE, "never reachable");
}

static void test_names_are_lines_in_lower_case(void **state)
{
    struct sample s;
    struct network_plan plan;
    CLEANUP_ERR struct err err = {0};
    (void)state;
    sample_init(&s);
    s.options.n_egress = 3;
    for (size_t i = 0; i < 2; i++)
        s.rules[i].destination_case = PB__EGRESS_RULE__DESTINATION_HTTPS_HOSTNAME;
    s.rules[0].https_hostname = strdup("API.example.org");
    s.rules[1].https_hostname = "*.example.com";
    add_port(&s, &s.rules[1], 0, "TCP", 443, 0);
    s.rules[2].destination_case = PB__EGRESS_RULE__DESTINATION_ANY;
    s.rules[2].any = true;
    add_port(&s, &s.rules[2], 1, "", 80, 0);
    assert_int_equal(network_plan_make(&s.options, NETWORK_OFFER_EGRESS, &plan, &err), 0);
    assert_string_equal(plan.names, "api.example.org\n*.example.com\n*\n");
    assert_true(plan.ruled && plan.network);
    s.options.n_egress = 1;
    assert_int_equal(network_plan_make(&s.options, NETWORK_OFFER_EGRESS, &plan, &err), 0);
    assert_int_equal(plan.n_grants, 0);
    free(s.rules[0].https_hostname);
}

static void test_names_that_are_none_are_refused(void **state)
{
    static const char *const wrong[] = {
        "",      "*",    "*.",
        "a..b",  "-a.b", "a-.b",
        "a.*.b", "*a.b", "a_b",
        "a b",   ".a",   "a.",
        "*.*.a", "a\nb", "0123456789012345678901234567890123456789012345678901234567890123.a"};
    struct sample s;
    (void)state;
    sample_init(&s);
    s.options.n_egress = 1;
    s.rules[0].destination_case = PB__EGRESS_RULE__DESTINATION_HTTPS_HOSTNAME;
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        s.rules[0].https_hostname = (char *)wrong[i];
        assert_refused(&s, NETWORK_OFFER_EGRESS, "egress[0].dns_name");
    }
    s.rules[0].https_hostname = "a.b";
    add_port(&s, &s.rules[0], 0, "UDP", 443, 0);
    assert_refused(&s, NETWORK_OFFER_EGRESS, "TCP 443");
    add_port(&s, &s.rules[0], 0, "", 80, 0);
    assert_refused(&s, NETWORK_OFFER_EGRESS, "TCP 443");
}

static void test_what_is_not_built_or_wrong_is_refused_by_name(void **state)
{
    struct sample s;
    Pb__IngressRule ingress = PB__INGRESS_RULE__INIT, *all_ingress[] = {&ingress};
    (void)state;
    sample_init(&s);
    s.options.n_egress = 1;
    assert_refused(&s, NETWORK_OFFER_EGRESS, "has no destination");
    s.rules[0].destination_case = PB__EGRESS_RULE__DESTINATION_HTTPS_HOSTNAME;
    s.rules[0].https_hostname = "api.example.org";
    assert_refused(&s, NETWORK_OFFER_NONE, "egress[0].dns_name");
    s.rules[0].destination_case = PB__EGRESS_RULE__DESTINATION_TENANT;
    assert_refused(&s, NETWORK_OFFER_EGRESS, "by tenant");
    s.rules[0].destination_case = PB__EGRESS_RULE__DESTINATION_SELECTOR;
    assert_refused(&s, NETWORK_OFFER_EGRESS, "by selector");
    s.options.opt_deny_egress_case = PB__NETWORK_OPTIONS__OPT_DENY_EGRESS_DENY_EGRESS;
    s.options.deny_egress = true;
    assert_refused(&s, NETWORK_OFFER_EGRESS, "cannot be combined");
    sample_init(&s);
    s.options.n_ingress = 1;
    s.options.ingress = all_ingress;
    assert_refused(&s, NETWORK_OFFER_EGRESS, "network.ingress[0]");
    static const char *const wrong[] = {"",         "1.2.3", "1.2.3.4/33",
                                        "1.2.3.4/", "::/0",  "a.b.c.d"};
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        sample_init(&s);
        (void)add_block(&s, wrong[i]);
        assert_refused(&s, NETWORK_OFFER_EGRESS, "is not an IPv4 block");
    }
    static const struct {
        const char *protocol;
        int port, end;
    } ports[] = {
        {"tcp", 0, 0}, {"tcp", 65536, 0}, {"tcp", 9, 8}, {"tcp", 1, 65536}, {"icmp", 1, 0}};
    for (size_t i = 0; i < ARRAY_SIZE(ports); i++) {
        sample_init(&s);
        add_port(&s, add_block(&s, "1.2.3.4"), 0, ports[i].protocol, ports[i].port,
                 ports[i].end);
        assert_refused(&s, NETWORK_OFFER_EGRESS, "ports: ");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_rules_it_is_all_or_nothing),
        cmocka_unit_test(test_a_block_with_exceptions_grants_the_rest),
        cmocka_unit_test(test_rules_add_up_and_an_exception_is_its_rules_own),
        cmocka_unit_test(test_broad_blocks_do_not_reach_what_is_private_or_the_machine),
        cmocka_unit_test(test_private_blocks_are_granted_where_the_operator_lets_them),
        cmocka_unit_test(test_names_are_lines_in_lower_case),
        cmocka_unit_test(test_names_that_are_none_are_refused),
        cmocka_unit_test(test_what_is_not_built_or_wrong_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
