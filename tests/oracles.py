"""Slow, obvious float64 twins of every objective, metric and composition: plain loops, no blocks, no tricks."""

import math
from itertools import combinations, pairwise

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
        names = [f"{name}@{at}" for name in ("hit", "recall", "ndcg") for at in k]
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
        **{f"ndcg@{at}": sum(oracle_ndcg(r, [1] * len(r), at) for r in ranks) / n for at in k},
    }


def oracle_ndcg(ranks, gains, k):
    """Of one query: the sum of gain / log2(1 + rank) over ranks up to k, by the same of the gains in the best order."""
    found = sum(g / math.log2(1 + r) for r, g in zip(ranks, gains, strict=True) if r <= k)
    best = sum(g / math.log2(1 + r) for r, g in enumerate(sorted(gains, reverse=True), 1) if r <= k)
    return found / best


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

    ranks, scores = [], []
    for q in queries:
        matches = [j for j, g in enumerate(gallery) if is_match(q, g)]
        if matches:
            scores.append([float(q[0] @ g[0]) for g in gallery])
            ranks.append(oracle_ranks(scores[-1], matches))
    alone = unit == "value" and len(query) == len(target) == 1 and len(ranks) > 0 and len(gallery) > 10
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
        **({"hubness": oracle_skewness(oracle_counts(scores, len(gallery), 10))} if alone else {}),
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


# -- hubness and mean removal: the published scores, one query at a time ------------------------------------------------


def oracle_cosines(rows, columns):
    """[[dot product]] in float64."""
    return [[float(np.dot(u, v)) for v in columns.double().numpy()] for u in rows.double().numpy()]


def oracle_k_occurrences(queries, gallery, k):
    """How often each gallery row is among the k best of a query; equal scores by row."""
    return oracle_counts(oracle_cosines(queries, gallery), len(gallery), k)


def oracle_counts(rows, size, k):
    """The same from the scores of each query with all `size` gallery rows."""
    counts = [0] * size
    for scores in rows:
        for j in sorted(range(len(scores)), key=lambda j, s=scores: (-s[j], j))[:k]:
            counts[j] += 1
    return counts


def oracle_skewness(counts):
    """E[(x - mean)^3] / E[(x - mean)^2]^1.5, 0 where nothing varies."""
    mean = sum(counts) / len(counts)
    second = sum((x - mean) ** 2 for x in counts) / len(counts)
    third = sum((x - mean) ** 3 for x in counts) / len(counts)
    return third / second**1.5 if second else 0.0


def oracle_qb_norm(queries, bank, gallery, beta):
    """Dynamic inverted softmax: exp(beta s) / sum over the bank, where the raw best row is the best of a bank query."""
    of_bank = oracle_cosines(bank, gallery)
    hubs = {max(range(len(row)), key=lambda j, r=row: r[j]) for row in of_bank}
    scores = []
    for row in oracle_cosines(queries, gallery):
        if max(range(len(row)), key=lambda j, r=row: r[j]) in hubs:
            row = [math.exp(beta * s) / sum(math.exp(beta * b[j]) for b in of_bank) for j, s in enumerate(row)]
        scores.append(row)
    return scores


def oracle_mean_of_best(scores, k):
    """The mean of the k highest."""
    best = sorted(scores, reverse=True)[:k]
    return sum(best) / len(best)


def oracle_nnn(queries, bank, gallery, k, alpha):
    """The score less alpha * mean of the row's k highest similarities to the bank."""
    bias = [alpha * oracle_mean_of_best(row, k) for row in oracle_cosines(gallery, bank)]
    return [[s - bias[j] for j, s in enumerate(row)] for row in oracle_cosines(queries, gallery)]


def oracle_csls(queries, bank, gallery, k):
    """2 s - r(query) - r(row), r the mean of the k highest similarities to the other side."""
    of_row = [oracle_mean_of_best(row, k) for row in oracle_cosines(gallery, bank)]
    return [
        [2 * s - oracle_mean_of_best(row, k) - of_row[j] for j, s in enumerate(row)]
        for row in oracle_cosines(queries, gallery)
    ]


def oracle_remove_mean(vectors):
    """(v - mean of all) over its norm."""
    rows = list(vectors.double().numpy())
    mean = sum(rows) / len(rows)
    return np.array([(v - mean) / math.sqrt(float((v - mean) @ (v - mean))) for v in rows])


# -- graded relevance: ranks of all relevant rows, pair by pair ----------------------------------------------------------


def oracle_graded_ranks(scores, gains):
    """{row: rank} of the rows with a gain: 1 + the rows that stand before it; a lower gain does within 1e-6."""

    def before(x, y):
        if gains[x] < gains[y]:
            return scores[x] >= scores[y] - 1e-6
        if gains[x] > gains[y]:
            return scores[x] - 1e-6 > scores[y]
        return scores[x] > scores[y] or (scores[x] == scores[y] and x < y)

    rows = range(len(scores))
    return {y: 1 + sum(1 for x in rows if x != y and before(x, y)) for y in rows if gains[y] > 0}


def oracle_graded(scores, gains, k, exponential=False):
    """nDCG, hit and precision of one query at each k, and nDCG over the whole gallery."""
    ranks = oracle_graded_ranks(scores, gains)
    worth = [2 ** gains[y] - 1 if exponential else gains[y] for y in ranks]
    top = {at: [r for r in ranks.values() if r <= at] for at in k}
    return {
        **{f"ndcg@{at}": oracle_ndcg(list(ranks.values()), worth, at) for at in k},
        "ndcg": oracle_ndcg(list(ranks.values()), worth, len(scores)),
        **{f"hit@{at}": float(len(top[at]) > 0) for at in k},
        **{f"precision@{at}": len(top[at]) / at for at in k},
    }


# -- classification: one query, one label at a time --------------------------------------------------------------------


def oracle_class(embeddings, modalities, label, weights=None, parts="all"):
    """A label's vector from its own values, or from the means of its items; None where it lacks a part."""
    found = []
    for m in modalities:
        rows = [r for r in range(len(embeddings.vectors[m])) if int(embeddings.labels[m][r]) == label]
        values = [embeddings.vectors[m][r].double().numpy() for r in rows]
        if not embeddings.per_label(m):
            items = sorted({int(embeddings.items[m][r]) for r in rows})
            values = [oracle_compose([(oracle_values(embeddings, m, item, label), 1.0)]) for item in items]
        found.append((values, (weights or {}).get(m, 1.0)))
    there = [len(values) > 0 for values, _ in found]
    return oracle_compose(found) if (all(there) if parts == "all" else any(there)) else None


def oracle_classify(queries, classes, seen=(), penalty=0.0):
    """(top-1, top-5, {label: top-1}) of [(vector, label)] among {label: vector}; ties count against the query."""
    hits, fives, each = [], [], {}
    for vector, label in queries:
        if label in classes:
            scores = {c: float(np.dot(vector, v)) - (penalty if c in seen else 0.0) for c, v in classes.items()}
            before = sum(1 for c, s in scores.items() if c != label and s >= scores[label] - 1e-6)
            hits.append(before == 0)
            fives.append(before < 5)
            each.setdefault(label, []).append(before == 0)
    return (
        (sum(hits) / len(hits) if hits else None),
        (sum(fives) / len(fives) if fives else None),
        {label: sum(right) / len(right) for label, right in each.items()},
    )


def oracle_stacking(queries_seen, queries_unseen, classes, seen):
    """(best harmonic mean, area under seen against unseen accuracy) over a penalty between any two thresholds."""
    thresholds = set()
    for vector, label in [*queries_seen, *queries_unseen]:
        scores = {c: float(np.dot(vector, v)) for c, v in classes.items()}
        sign = 1 if label in seen else -1
        thresholds |= {sign * (scores[label] - s - 1e-6) for c, s in scores.items() if (c in seen) != (label in seen)}
    cuts = sorted(thresholds)
    best, points = 0.0, []
    for penalty in [cuts[0] - 1, *((a + b) / 2 for a, b in pairwise(cuts)), cuts[-1] + 1]:
        s, u = (
            sum(each.values()) / len(each)
            for each in (oracle_classify(q, classes, seen, penalty)[2] for q in (queries_seen, queries_unseen))
        )
        points.append((u, s))
        best = max(best, 2 * s * u / (s + u) if s + u else 0.0)
    area = sum((u2 - u1) * (s1 + s2) / 2 for (u1, s1), (u2, s2) in pairwise(points))
    return best, area


# -- significance: draws of items one by one, and Holm's procedure as the closed test that it is ------------------------


def oracle_drawn_mean(values, owners, counts):
    """Mean over queries where item o was drawn counts[o] times, with all its queries; None where no query was."""
    total = number = 0
    for value, owner in zip(values, owners, strict=True):
        for _ in range(counts[owner]):
            total += value
            number += 1
    return total / number if number else None


def oracle_percentiles(draws, low=0.025, high=0.975):
    """The two percentiles, linear between draws."""
    ordered = sorted(draws)
    ends = []
    for share in (low, high):
        place = share * (len(ordered) - 1)
        below = math.floor(place)
        above = min(below + 1, len(ordered) - 1)
        ends.append(ordered[below] + (place - below) * (ordered[above] - ordered[below]))
    return ends


def oracle_difference(a, b, draws):
    """(mean, low, high, se) of mean(a) - mean(b), each (values, owners), over draws that are {owner: count}."""
    gaps = []
    for counts in draws:
        sides = [oracle_drawn_mean(*side, counts) for side in (a, b)]
        if None not in sides:
            gaps.append(sides[0] - sides[1])
    center = sum(gaps) / len(gaps)
    se = math.sqrt(sum((gap - center) ** 2 for gap in gaps) / (len(gaps) - 1))
    return sum(a[0]) / len(a[0]) - sum(b[0]) / len(b[0]), *oracle_percentiles(gaps), se


def oracle_holm(p):
    """Largest Bonferroni p of all sets of hypotheses that hold this one: closed testing (Marcus et al. 1976)."""
    return [
        max(
            min(1.0, size * min(p[j] for j in chosen))
            for size in range(1, len(p) + 1)
            for chosen in combinations(range(len(p)), size)
            if i in chosen
        )
        for i in range(len(p))
    ]


# -- health: how vectors lie, straight from the definitions ------------------------------------------------------------


def oracle_mean_and_covariance(x):
    """Mean and covariance (over n) of rows, entry by entry."""
    n, d = len(x), len(x[0])
    mean = [sum(float(row[k]) for row in x) / n for k in range(d)]
    entry = lambda k, m: sum((float(row[k]) - mean[k]) * (float(row[m]) - mean[m]) for row in x) / n  # noqa: E731
    return np.array(mean), np.array([[entry(k, m) for m in range(d)] for k in range(d)])


def oracle_gaps(x, y):
    """Distance of the means; squared Fréchet distance of the Gaussians over what it is without a common direction."""
    (mean_x, c_x), (mean_y, c_y) = oracle_mean_and_covariance(x), oracle_mean_and_covariance(y)
    apart = sum((p - q) ** 2 for p, q in zip(mean_x, mean_y, strict=True))
    overlap = sum(math.sqrt(max(0.0, v.real)) for v in np.linalg.eigvals(c_x @ c_y))
    most = apart + sum(c_x[k][k] + c_y[k][k] for k in range(len(c_x)))
    return math.sqrt(apart), (most - 2 * overlap) / most


def oracle_effective_dimension(x):
    """Exp of the entropy of the eigenvalues of the covariance, as shares."""
    values = [v for v in np.linalg.eigvalsh(oracle_mean_and_covariance(x)[1]) if v > 1e-15]
    return math.exp(-sum(v / sum(values) * math.log(v / sum(values)) for v in values))


def oracle_uniformity(x):
    """Log of the mean over pairs of rows of exp(-2 |x - y|^2)."""
    pairs = list(combinations(range(len(x)), 2))
    near = [math.exp(-2 * sum((float(p) - float(q)) ** 2 for p, q in zip(x[i], x[j], strict=True))) for i, j in pairs]
    return math.log(sum(near) / len(near))


def oracle_separation(x, y, matches):
    """Mean and deviation of the cosines that match, of the others, and their d'."""
    sides = []
    for wanted in (True, False):
        s = [float(np.dot(x[i], y[j])) for i in range(len(x)) for j in range(len(y)) if ((i, j) in matches) == wanted]
        mean = sum(s) / len(s)
        sides.append((mean, math.sqrt(sum((v - mean) ** 2 for v in s) / len(s))))
    (match, match_sd), (other, other_sd) = sides
    return *sides, (match - other) / math.sqrt((match_sd**2 + other_sd**2) / 2)


def oracle_repeats(x, owners):
    """Share of rows with the most frequent vector that two owners show, and of rows whose vector another one shows."""
    same = [[j for j in range(len(x)) if math.dist(x[i], x[j]) <= 1e-5] for i in range(len(x))]
    repeated = [group for group in same if len({owners[j] for j in group}) > 1]
    return max((len(group) for group in repeated), default=0) / len(x), len(repeated) / len(x)


# -- calibrated composition and late fusion of ranks -------------------------------------------------------------------


def oracle_means(embeddings, modality):
    """{item: unit mean of its values, or of its label's}; {label: ...} where no modality has items."""
    names = [m for m in embeddings.modalities if int((embeddings.items[m] >= 0).sum())]
    owners = {}
    for m in names or embeddings.modalities:
        for r in range(len(embeddings.vectors[m])):
            label = -1 if embeddings.labels is None else int(embeddings.labels[m][r])
            owners[int(embeddings.items[m][r]) if names else label] = label
    found = {}
    for owner in sorted(owners):
        values = oracle_values(embeddings, modality, owner if names else -1, owners[owner])
        if values:
            found[owner] = oracle_compose([(values, 1.0)])
    return found, owners


def oracle_concentrations(embeddings, parts, target):
    """Log concentrations of the parts about the target, less their mean, shrunk by n / (n + 20)."""
    goals, _ = oracle_means(embeddings, target)
    logs, counts = [], []
    for part in parts:
        sides, _ = oracle_means(embeddings, part)
        both = [owner for owner in sides if owner in goals]
        r = 0.01
        if both:
            q, g = (sum(side.values()) / len(side) for side in (sides, goals))
            r = sum(float((sides[o] - q) @ (goals[o] - g)) for o in both) / len(both)
            r = min(max(r, 0.01), 0.999)
        logs.append(math.log(r * embeddings.dim / (1 - r * r)))
        counts.append(len(both))
    known = [x for x, n in zip(logs, counts, strict=True) if n] or logs
    mean = sum(known) / len(known)
    return [(x - mean) * n / (n + 20) for x, n in zip(logs, counts, strict=True)]


def oracle_calibration_loss(embeddings, parts, target, log_weights, prior):
    """Minus the log posterior of weights, best temperatures put in; for targets of one value an item (a label)."""
    sides = [oracle_means(embeddings, part)[0] for part in parts]
    goals, owners = oracle_means(embeddings, target)
    by_label = embeddings.per_label(target)
    sets = [(a, b) for a in range(len(parts)) for b in range(a + 1, len(parts))]
    sets += [tuple(range(len(parts)))] if len(parts) > 2 else []
    terms = []
    for members in sets:
        asked = [o for o in goals if all(o in sides[p] for p in members)]
        label_only = not by_label and all(embeddings.per_label(parts[p]) for p in members)
        share = [math.exp(log_weights[p]) for p in members]
        rivals = []  # of each query: the scores of the others less that of the match
        for o in asked:
            q = sum(w * sides[p][o] for w, p in zip(share, members, strict=True)) / sum(share)
            columns = {owners[g] if by_label else g: v for g, v in goals.items()}
            own = owners[o] if by_label else o
            others = [g for g in columns if g != own and not (label_only and owners[g] == owners[o] >= 0)]
            rivals.append([float(q @ columns[g]) - float(q @ columns[own]) for g in others])
        if not asked:
            continue

        def loss(log_scale, rivals=rivals):
            return sum(math.log(1 + sum(math.exp(math.exp(log_scale) * s) for s in row)) for row in rivals)

        low, high = -6.0, 6.0
        for _ in range(40):  # convex in the scale, so of one valley in its logarithm
            a, b = low + (high - low) / 3, high - (high - low) / 3
            low, high = (low, b) if loss(a) < loss(b) else (a, high)
        terms.append(loss((low + high) / 2))
    change = [w - p for w, p in zip(log_weights, prior, strict=True)]
    mean = sum(change) / len(change)
    return sum(terms) / max(1, len(terms)) + sum((c - mean) ** 2 for c in change) / (2 * 0.5**2)


def oracle_reciprocal_ranks(parts, gallery, owners, k, weights):
    """{owner: score} of one query: (k + 1) / (k + rank), weighted; an owner's rank is that of its best value."""
    total = dict.fromkeys(sorted(set(owners)), 0.0)
    for vector, weight in zip(parts, weights, strict=True):
        best = {}
        for row, owner in zip(gallery, owners, strict=True):
            best[owner] = max(best.get(owner, -math.inf), float(np.dot(vector, row)))
        for owner in best:
            rank = sum(1 for other in best if best[other] >= best[owner])
            total[owner] += weight * (k + 1) / (k + rank) / sum(weights)
    return total


# -- search: every value of every item, one by one ---------------------------------------------------------------------


def oracle_nearest(values, query, k):
    """[(key, place, score)] of the k best; `values` is {key: its vectors}. Equal scores by key, then by place."""
    best = []
    for key, vectors in values.items():
        scores = [math.fsum(float(x) * float(y) for x, y in zip(vector, query, strict=True)) for vector in vectors]
        if scores:
            place = max(range(len(scores)), key=lambda at: (scores[at], -at))
            best.append((key, place, scores[place]))
    return sorted(best, key=lambda one: (-one[2], one[0]))[:k]
