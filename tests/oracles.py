"""Slow, obvious float64 twins of every objective, metric and composition: plain loops, no blocks, no tricks."""

import math
from itertools import combinations

import numpy as np

# -- matching and objectives: plain loops in float64, straight from the definitions ------------------------------------


def oracle_matches(embeddings, a, b, match="item"):
    """Set of (i, j) that match, by the two rules as DESIGN states them."""
    label_side = any(len(embeddings.items[m]) and all(int(x) == -1 for x in embeddings.items[m]) for m in (a, b))
    by_label = match == "label" or label_side
    found = set()
    for i in range(len(embeddings.items[a])):
        for j in range(len(embeddings.items[b])):
            item_a, item_b = int(embeddings.items[a][i]), int(embeddings.items[b][j])
            same = item_a == item_b and item_a >= 0
            if by_label:
                label_a, label_b = int(embeddings.labels[a][i]), int(embeddings.labels[b][j])
                same = same or (label_a == label_b and label_a >= 0)
            if same:
                found.add((i, j))
    return found


def oracle_pcmc_pair(x, y, matches, scale):
    """Mean over anchors of the mean over matches of -log softmax, other matches left out; both ways, halved."""
    s = [[scale * float(np.dot(u, v)) for v in y] for u in x]
    n, m = len(x), len(y)
    halves = []
    for rows, columns, at, hit in (
        (n, m, lambda r, c: s[r][c], lambda r, c: (r, c) in matches),
        (m, n, lambda r, c: s[c][r], lambda r, c: (c, r) in matches),
    ):
        anchors = []
        for r in range(rows):
            own = [c for c in range(columns) if hit(r, c)]
            others = [math.exp(at(r, c)) for c in range(columns) if not hit(r, c)]
            if own:
                terms = [-math.log(math.exp(at(r, c)) / (math.exp(at(r, c)) + sum(others))) for c in own]
                anchors.append(sum(terms) / len(terms))
        halves.append(sum(anchors) / len(anchors))
    return sum(halves) / 2


def oracle_pcmr_pair(x, y, matches, lam, beta):
    """Mean over matches of (1 - s)^2 + lam * mean over the rest of (s - beta)^2."""
    positive, negative = [], []
    for i, u in enumerate(x):
        for j, v in enumerate(y):
            s = float(np.dot(u, v))
            if (i, j) in matches:
                positive.append((1 - s) ** 2)
            else:
                negative.append((s - beta) ** 2)
    return sum(positive) / len(positive) + lam * (sum(negative) / len(negative) if negative else 0.0)


def oracle_objective(embeddings, pair_loss, match="item", weights=None):
    """(total, {pair: loss}): the weighted mean over the pairs that have a match."""
    names = sorted(embeddings.vectors)
    pairs = {}
    for p, a in enumerate(names):
        for b in names[p + 1 :]:
            matches = oracle_matches(embeddings, a, b, match)
            if matches:
                x, y = (embeddings.vectors[m].detach().double().numpy() for m in (a, b))
                pairs[a, b] = pair_loss(x, y, matches)
    weights = weights or {}
    mass = sum(weights.get(p, 1.0) for p in pairs)
    return (sum(weights.get(p, 1.0) * v for p, v in pairs.items()) / mass if pairs else 0.0), pairs


# -- ranks, metrics, composition and a whole direction: plain loops in float64, straight from the definitions ----------


def oracle_ranks(scores, matches):
    """Ascending ranks of one query's matches: rivals at least as good (less 1e-6) and matches ahead, ties by row."""
    found = []
    for own in matches:
        rivals = sum(1 for j in range(len(scores)) if j not in matches and scores[j] >= scores[own] - 1e-6)
        ahead = sum(1 for j in matches if scores[j] > scores[own] or (scores[j] == scores[own] and j < own))
        found.append(1 + rivals + ahead)
    return sorted(found)


def oracle_metrics(ranks, k):
    """Means over queries, from each query's ascending ranks."""
    n = len(ranks)
    if n == 0:
        names = [f"hit@{at}" for at in k] + [f"recall@{at}" for at in k]
        return dict.fromkeys([*names, "mrr", "median_rank", "map", "r_precision"])
    first = sorted(r[0] for r in ranks)
    precision = [sum((i + 1) / r[i] for i in range(len(r))) / len(r) for r in ranks]
    return {
        **{f"hit@{at}": sum(1 for r in ranks if r[0] <= at) / n for at in k},
        "mrr": sum(1 / r[0] for r in ranks) / n,
        "median_rank": (first[(n - 1) // 2] + first[n // 2]) / 2,
        "map": sum(precision) / n,
        **{f"recall@{at}": sum(sum(1 for x in r if x <= at) / len(r) for r in ranks) / n for at in k},
        "r_precision": sum(sum(1 for x in r if x <= len(r)) / len(r) for r in ranks) / n,
    }


def oracle_compose(parts):
    """unit(sum of weight * unit(mean of values)) for parts [(values, weight)]; those without values are left out."""
    total = 0
    for values, weight in parts:
        if len(values):
            mean = sum(np.asarray(v, dtype=np.float64) for v in values) / len(values)
            total = total + weight * mean / math.sqrt(float(mean @ mean))
    return total / math.sqrt(float(total @ total))


def oracle_values(embeddings, modality, item, label):
    """The values of an item in a modality, in order of rows; in a label modality, those of its label."""
    rows = range(len(embeddings.vectors[modality]))
    if embeddings.per_label(modality):
        mine = [r for r in rows if label >= 0 and int(embeddings.labels[modality][r]) == label]
    else:
        mine = [r for r in rows if item >= 0 and int(embeddings.items[modality][r]) == item]
    return [embeddings.vectors[modality][r].double().numpy() for r in mine]


def oracle_composed_rows(embeddings, modalities, unit, parts, weights=None):
    """[(vector, item, label)] of every item, or of every label where all modalities have one value per label."""
    weights = weights or {}
    per_label = all(embeddings.per_label(m) for m in modalities)
    owners = {}
    for m in modalities if per_label else [m for m in embeddings.vectors if not embeddings.per_label(m)]:
        for r in range(len(embeddings.vectors[m])):
            label = -1 if embeddings.labels is None else int(embeddings.labels[m][r])
            owners[label if per_label else int(embeddings.items[m][r])] = label
    rows = []
    for owner in sorted(owners):
        item, label = (-1 if per_label else owner), owners[owner]
        values = [oracle_values(embeddings, m, item, label) for m in modalities]
        if not (all if parts == "all" else any)(len(v) > 0 for v in values):
            continue
        for k in range(max(len(v) for v in values) if unit == "value" else 1):
            chosen = [[v[k % len(v)]] if unit == "value" and v else v for v in values]
            rows.append(
                (oracle_compose([(v, weights.get(m, 1)) for m, v in zip(modalities, chosen, strict=True)]), item, label)
            )
    return rows


def oracle_direction(embeddings, query, target, unit, match="item", parts="all", k=(1, 5, 10)):
    """The entry of one direction, from loops alone."""

    def single(m):
        labels = [-1] * len(embeddings.items[m]) if embeddings.labels is None else embeddings.labels[m].tolist()
        vectors = embeddings.vectors[m].double().numpy()
        return list(zip(vectors, embeddings.items[m].tolist(), labels, strict=True))

    queries = single(query[0]) if unit == "value" and len(query) == 1 else None
    queries = oracle_composed_rows(embeddings, query, unit, parts) if queries is None else queries
    gallery = single(target[0]) if len(target) == 1 else oracle_composed_rows(embeddings, target, "item", "any")
    by_label = match == "label" or any(all(embeddings.per_label(m) for m in side) for side in (query, target))

    def is_match(a, b):
        return (a[1] == b[1] and a[1] >= 0) or (by_label and a[2] == b[2] and a[2] >= 0)

    ranks = []
    for q in queries:
        matches = [j for j, g in enumerate(gallery) if is_match(q, g)]
        if matches:
            ranks.append(oracle_ranks([float(q[0] @ g[0]) for g in gallery], matches))
    all_items = {int(i) for items in embeddings.items.values() for i in items if i >= 0}
    all_labels = {int(y) for labels in (embeddings.labels or {}).values() for y in labels if y >= 0}
    lacking = all_labels - {q[2] for q in queries} if unit == "label" else all_items - {q[1] for q in queries}
    return {
        "query": list(query),
        "target": list(target),
        "unit": unit,
        "match": "label" if by_label else "item",
        "queries": len(ranks),
        "skipped": {"part": len(lacking), "match": len(queries) - len(ranks)},
        "gallery": len(gallery),
        **oracle_metrics(ranks, k),
    }


# -- GCCA: projection matrices over all items, straight from the definition --------------------------------------------


def oracle_gcca(features, items, dim, ridge, power):
    """({modality: unit vectors}, eigenvalues) of MAXVAR with missing views, by N x N matrices in float64."""
    names = sorted(features)
    ids = sorted({int(i) for m in names for i in items[m]})
    n = len(ids)
    d, total, parts = np.zeros(n), np.zeros((n, n)), {}
    for m in names:
        x = features[m].double().numpy()
        of = {item: [r for r in range(len(x)) if int(items[m][r]) == item] for item in ids}
        have = [k for k, item in enumerate(ids) if of[item]]
        means = np.array([x[of[ids[k]]].mean(axis=0) for k in have])
        center = means.mean(axis=0)
        rows = np.zeros((n, x.shape[1]))
        rows[have] = means - center
        c = rows.T @ rows
        inverse = np.linalg.inv(c + ridge * np.trace(c) / len(c) * np.eye(len(c)))
        d[have] += 1
        total += rows @ inverse @ rows.T
        parts[m] = (x - center, inverse @ rows.T)
    half = np.diag(1 / np.sqrt(d))
    values, vectors = np.linalg.eigh(half @ total @ half)
    order = np.argsort(-values)[:dim]
    g = half @ vectors[:, order]
    out = {}
    for m, (x, to_weights) in parts.items():
        y = x @ to_weights @ g * values[order] ** power
        out[m] = y / np.linalg.norm(y, axis=1, keepdims=True)
    return out, values[order]


# -- rivals: sigmoid, Symile, GRAM and fused pairs, straight from the definitions --------------------------------------


def oracle_sigmoid_pair(x, y, matches, scale, bias):
    """Minus the sum of log sigmoid(+-(scale s + bias)) over all pairs, by the mean number of rows with a match."""
    total = 0.0
    for i, u in enumerate(x):
        for j, v in enumerate(y):
            logit = scale * float(np.dot(u, v)) + bias
            total += math.log(1 + math.exp(-logit if (i, j) in matches else logit))
    return total / ((len({i for i, _ in matches}) + len({j for _, j in matches})) / 2)


def oracle_complete_items(embeddings, names):
    """[(item, label, {modality: unit mean of its values})] of the items (labels, of label modalities) with all names."""
    found = []
    for _, item, label in oracle_composed_rows(embeddings, names, "item", "all"):
        vectors = {m: oracle_compose([(oracle_values(embeddings, m, item, label), 1)]) for m in names}
        found.append((item, label, vectors))
    return found


def oracle_agree(embeddings, match, a, b, one, other):
    """Whether item `one`'s value in modality a matches item `other`'s in modality b."""
    if one[0] == other[0] and one[0] >= 0:
        return True
    by_label = match == "label" or embeddings.per_label(a) or embeddings.per_label(b)
    return by_label and one[1] == other[1] and one[1] >= 0


def oracle_symile(embeddings, anchor, others, scale, sets, match="item"):
    """Mean over items of -log softmax of the own set; candidates are the `sets` of items' places that do not match."""
    complete = oracle_complete_items(embeddings, [anchor, *others])
    factor = scale * math.sqrt(embeddings.dim) ** (len(others) - 1)
    losses = []
    for i, item in enumerate(complete):

        def logit(places, item=item):
            total = 0.0
            for k in range(len(item[2][anchor])):
                product = item[2][anchor][k]
                for m, place in zip(others, places, strict=True):
                    product *= complete[place][2][m][k]
                total += product
            return factor * total

        own, rivals = math.exp(logit([i] * len(others))), 0.0
        for places in sets:
            if not all(
                oracle_agree(embeddings, match, anchor, m, item, complete[place])
                for m, place in zip(others, places, strict=True)
            ):
                rivals += math.exp(logit(places))
        losses.append(-math.log(own / (own + rivals)))
    return sum(losses) / len(losses)


def oracle_squared_volume(vectors):
    """The Gram matrix's determinant; of more than d vectors, the sum over all d of them, by the largest that it can be."""
    m, d = len(vectors), len(vectors[0])
    chosen = combinations(vectors, d) if m > d else [vectors]
    return sum(np.linalg.det(np.array(v) @ np.array(v).T) for v in chosen) * ((d / m) ** d if m > d else 1)


def oracle_gram(embeddings, anchor, others, scale, eps, match="item"):
    """Cross-entropy of -scale * volume, of each anchor over the sets and of each set over the anchors, halved."""
    complete = oracle_complete_items(embeddings, [anchor, *others])

    def weight(i, j):
        vectors = [complete[i][2][anchor], *(complete[j][2][m] for m in others)]
        return math.exp(-scale * math.sqrt(max(0.0, oracle_squared_volume(vectors)) + eps))

    def matching(i, j):
        return all(oracle_agree(embeddings, match, anchor, m, complete[i], complete[j]) for m in others)

    total, n = 0.0, len(complete)
    for i in range(n):
        own = weight(i, i)
        over_sets = sum(weight(i, j) for j in range(n) if not matching(i, j))
        over_anchors = sum(weight(j, i) for j in range(n) if not matching(j, i))
        total -= math.log(own / (own + over_sets)) + math.log(own / (own + over_anchors))
    return total / (2 * n)


def oracle_fusion(a, b, first, second):
    """Unit vector of two, through two layers given as (weight, bias) with a GELU between."""
    hidden = first[0] @ np.concatenate([a, b]) + first[1]
    hidden = np.array([h * (1 + math.erf(h / math.sqrt(2))) / 2 for h in hidden])
    out = second[0] @ hidden + second[1]
    return out / np.linalg.norm(out)


def oracle_fused(embeddings, a, b, c, fuse, scale, match="item"):
    """PCMC's loss of the fusions of a and b, one for each item that has both, and the values of c."""
    rows = [(fuse(v[a], v[b]), item, label) for item, label, v in oracle_complete_items(embeddings, [a, b])]
    third = embeddings.vectors[c].double().numpy()
    labels = [-1] * len(third) if embeddings.labels is None else embeddings.labels[c].tolist()
    by_label = match == "label" or embeddings.per_label(c) or (embeddings.per_label(a) and embeddings.per_label(b))
    matches = set()
    for i, (_, item, label) in enumerate(rows):
        for j, other in enumerate(embeddings.items[c].tolist()):
            if (item == other and item >= 0) or (by_label and label == labels[j] and label >= 0):
                matches.add((i, j))
    return oracle_pcmc_pair([row[0] for row in rows], third, matches, scale) if matches else None


# -- PCMC with all matches in one denominator, and PCMR's focused negative term ----------------------------------------


def oracle_pcmc_pair_all(x, y, matches, scale):
    """Mean over anchors of the mean over matches of -log softmax over every candidate; both ways, halved."""
    s = [[scale * float(np.dot(u, v)) for v in y] for u in x]
    turned, halves = [list(column) for column in zip(*s, strict=True)], []
    for table, hits in ((s, matches), (turned, {(j, i) for i, j in matches})):
        anchors = []
        for r, row in enumerate(table):
            own = [row[c] for c in range(len(row)) if (r, c) in hits]
            if own:
                log_sum = math.log(sum(math.exp(z) for z in row))
                anchors.append(sum(log_sum - z for z in own) / len(own))
        halves.append(sum(anchors) / len(anchors))
    return sum(halves) / 2


def oracle_focused(x, y, matches, beta, tau):
    """Mean of the two means over rows and columns with a non-match of the softmax-weighted squared error."""
    s = [[float(np.dot(u, v)) for v in y] for u in x]
    means = []
    for rows in (
        [[s[i][j] for j in range(len(y)) if (i, j) not in matches] for i in range(len(x))],
        [[s[i][j] for i in range(len(x)) if (i, j) not in matches] for j in range(len(y))],
    ):
        terms = []
        for row in rows:
            if row:
                weights = [math.exp(z / tau) for z in row]
                terms.append(sum(w * (z - beta) ** 2 for w, z in zip(weights, row, strict=True)) / sum(weights))
        means.append(sum(terms) / len(terms) if terms else 0.0)
    return sum(means) / 2


# -- spectral: the paper's loss of embeddings of norm sqrt(scale), plus 2 scale ----------------------------------------


def oracle_spectral_pair(x, y, matches, scale):
    """Mean over matches of |z - z'|^2 plus the mean over all pairs of (z . z')^2, z = sqrt(scale) times a unit vector."""
    z, w = ([[math.sqrt(scale) * float(c) for c in row] for row in side] for side in (x, y))
    near = [sum((p - q) ** 2 for p, q in zip(z[i], w[j], strict=True)) for i, j in matches]
    every = [sum(p * q for p, q in zip(u, v, strict=True)) ** 2 for u in z for v in w]
    return sum(near) / len(near) + sum(every) / len(every)


# -- within clusters, and the rest by its moments --------------------------------------------------------------------


def oracle_near_sums(a, b, key_a, key_b, cluster_a, cluster_b, scale):
    """Both sides' [sums of e^(scale s), how many, sums of s, sums of s^2] over non-matches in the same cluster."""

    def side(x, y, keys, clusters):
        sums = [[0.0] * len(x) for _ in range(4)]
        for i in range(len(x)):
            for j in range(len(y)):
                match = int(keys[0][i]) == int(keys[1][j]) >= 0
                if int(clusters[0][i]) == int(clusters[1][j]) and not match:
                    s = float(np.dot(x[i].numpy(), y[j].numpy()))
                    for sum_of, term in zip(sums, (math.exp(scale * s), 1.0, s, s * s), strict=True):
                        sum_of[i] += term
        return sums

    return (
        side(a, b, (key_a, key_b), (cluster_a, cluster_b)),
        side(b, a, (key_b, key_a), (cluster_b, cluster_a)),
    )


def oracle_pcmc_clustered_rows(embeddings, a, b, cluster_a, cluster_b, scale):
    """PCMC of one pair whose denominators have the non-matches of other clusters as those of N normal values."""
    matches = oracle_matches(embeddings, a, b)
    halves = []
    for x, y, clusters, hit in (
        (a, b, (cluster_a, cluster_b), lambda i, j: (i, j) in matches),
        (b, a, (cluster_b, cluster_a), lambda i, j: (j, i) in matches),
    ):
        anchors = []
        for i in range(len(embeddings.vectors[x])):
            s = [float(v @ embeddings.vectors[x][i]) for v in embeddings.vectors[y]]
            own = [s[j] for j in range(len(s)) if hit(i, j)]
            rivals = [j for j in range(len(s)) if not hit(i, j)]
            near = [s[j] for j in rivals if int(clusters[0][i]) == int(clusters[1][j])]
            far = [s[j] for j in rivals if int(clusters[0][i]) != int(clusters[1][j])]
            z = sum(math.exp(scale * v) for v in near)
            if far:
                spread, most = scale * float(np.std(far)), math.sqrt(2 * math.log(len(far)))
                within = len(far) * math.exp(spread**2 / 2) if spread < most else math.exp(most * spread)
                z += math.exp(scale * float(np.mean(far))) * within
            if own:
                anchors.append(sum(math.log(math.exp(scale * v) + z) - scale * v for v in own) / len(own))
        halves.append(sum(anchors) / len(anchors))
    return sum(halves) / 2
