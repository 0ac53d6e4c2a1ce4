#include "launch/carry.h"

#include <errno.h>
#include <string.h>

#include "launch/network-names.h"

/* Of table.h: a new member takes a new tag, and any change the next TABLE_VERSION. */
/* clang-format off */
#define E(tag, member) TABLE_ROW(tag, struct engine, member)
#define E_FD(tag, member) TABLE_FD(tag, struct engine, member)
static const struct table_row engine_rows[] = {
    E(1, map.root), E(2, map.base), E(3, map.count), E(4, map.own_uid), E(5, map.own_gid),
    E_FD(6, cgroups.v2), E_FD(7, cgroups.v1_memory), E_FD(8, cgroups.v1_cpu), E_FD(9, cgroups.v1_pids),
    E(10, cgroups.v2_memory), E(11, cgroups.v2_cpu), E(12, cgroups.v2_pids),
    E(13, n_made), E(14, disks.held),
    E(20, network.open), E(21, network.rules_loaded), E_FD(22, network.router), E_FD(23, network.router_route),
    E_FD(24, network.router_nft), E_FD(25, network.machine_route), E_FD(26, network.machine_nft), E_FD(27, network.lock),
    E_FD(28, network.proc), E(29, network.base), E(30, network.at), E(31, network.n_made), E(32, network.used),
    E(33, network.index), E(34, network.device), E(35, network.table),
    E_FD(36, network.resolver.fds[RESOLVE_UDP]), E_FD(37, network.resolver.fds[RESOLVE_TCP]),
    E_FD(38, network.resolver.fds[RESOLVE_TABLE]), E_FD(39, network.resolver.table_fd),
    E_FD(50, replacement.mounts), E_FD(51, replacement.program), E_FD(52, replacement.argv),
};

#define C(tag, member) TABLE_ROW(tag, struct cell, member)
static const struct table_row cell_rows[] = {
    C(1, id), C(2, state), C(3, pid), C(4, owner), C(5, init_version), TABLE_FD(6, struct cell, control_fd), C(7, loop),
    C(8, reaped), C(9, ending), C(10, cpu_millis), C(11, cpus), C(12, wait_status), C(13, limits.memory_bytes),
    C(14, limits.cpu_millis), C(15, limits.pids), C(16, limits.accept_unenforced), C(17, address), C(18, ruled), C(19, has_meminfo),
};

#define L(tag, member) TABLE_ROW(tag, struct layer, member)
static const struct table_row layer_rows[] = {L(1, name), TABLE_FD(2, struct layer, fd)};

#define G(tag, member) TABLE_ROW(tag, struct launch_grant, member)
static const struct table_row grant_rows[] = {
    G(1, first), G(2, last), G(3, first_protocol), G(4, last_protocol), G(5, first_port), G(6, last_port),
};

#define N(tag, member) TABLE_ROW(tag, struct named_address, member)
static const struct table_row named_rows[] = {N(1, address), N(2, fresh_ns)};
/* clang-format on */

static const struct table_shape engine_shape = TABLE_SHAPE(TABLE_ENGINE, engine_rows);
static const struct table_shape cell_shape = TABLE_SHAPE(TABLE_CELL, cell_rows);
static const struct table_shape layer_shape = TABLE_SHAPE(TABLE_LAYER, layer_rows);
static const struct table_shape grant_shape = TABLE_SHAPE(TABLE_GRANT, grant_rows);
static const struct table_shape named_shape = TABLE_SHAPE(TABLE_NAMED, named_rows);

static int put_named(struct table *t, const struct named *named)
{
    int r = 0;

    for (uint32_t i = 0; named && i < named->n && r == 0; i++)
        r = table_put(t, &named_shape, &named->rows[i]);
    return r;
}

static int put_cell(struct table *t, const struct cell *cell)
{
    int r = table_put(t, &cell_shape, cell);

    for (uint32_t i = 0; i < cell->n_layers && r == 0; i++)
        r = table_put(t, &layer_shape, cell->layers[i]);
    for (uint32_t i = 0; i < cell->n_grants && r == 0; i++)
        r = table_put(t, &grant_shape, &cell->grants[i]);
    return r;
}

int carry_put(struct table *t, struct engine *e)
{
    int r = table_put(t, &engine_shape, e);

    for (const struct list *node = e->cells.next; node != &e->cells && r == 0;
         node = node->next) {
        const struct cell *cell = CONTAINER_OF(node, struct cell, node);

        r = put_cell(t, cell);
        if (r == 0 && cell->address != 0)
            r = put_named(t, network_names_of(&e->network, cell->address));
    }
    return r;
}

int carry_get_engine(struct table *t, struct engine *ret)
{
    return table_next(t) == TABLE_ENGINE ? table_get(t, &engine_shape, ret) : -EBADMSG;
}

static int get_layer(struct table *t, struct engine *e, struct cell *cell)
{
    struct layer layer = {.fd = -1};
    int r = table_get(t, &layer_shape, &layer);

    return r < 0 ? r : layers_take_again(e, cell, &layer);
}

static int get_grant(struct table *t, struct cell *cell)
{
    struct launch_grant *grants = realloc(cell->grants, (cell->n_grants + 1) * sizeof(*grants));

    if (!grants)
        return -ENOMEM;
    cell->grants = grants;
    grants[cell->n_grants] = (struct launch_grant){0};
    return table_get(t, &grant_shape, &grants[cell->n_grants++]);
}

static int get_named(struct table *t, struct engine *e, const struct cell *cell)
{
    struct named *named = network_names_of(&e->network, cell->address);
    struct named_address row = {0};
    int r = table_get(t, &named_shape, &row);

    if (r == 0 && named && named->n < NAMED_MAX)
        named->rows[named->n++] = row;
    return r;
}

static int get_cell(struct table *t, struct engine *e)
{
    struct cell *cell = cell_new();
    int r = cell ? table_get(t, &cell_shape, cell) : -ENOMEM;

    if (r < 0 || !launchproto_id_valid(cell->id)) {
        free(cell);
        return r < 0 ? r : -EBADMSG;
    }
    if (cell->address != 0)
        r = network_names_resume(&e->network, cell->address);
    while (r == 0) {
        int kind = table_next(t);

        if (kind == TABLE_LAYER)
            r = get_layer(t, e, cell);
        else if (kind == TABLE_GRANT)
            r = get_grant(t, cell);
        else if (kind == TABLE_NAMED)
            r = get_named(t, e, cell);
        else
            break;
    }
    return r < 0 ? r : cell_take_again(e, cell);
}

int carry_get_cells(struct table *t, struct engine *e)
{
    int kind, r = 0;

    while (r == 0 && (kind = table_next(t)) != 0)
        r = kind == TABLE_CELL ? get_cell(t, e) : -EBADMSG;
    return r;
}
