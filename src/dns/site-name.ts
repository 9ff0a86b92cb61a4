/** What a name shorter than the others contributes at a position that it does not have. */
const ABSENT = null;

/**
 * The name of a site: what the hosts of a domain have in common, printed once. Over the host names in order of preference:
 *
 *     mta5.am0.yahoodns.net, mta6.am0.yahoodns.net, mta7.am0.yahoodns.net  →  (mta5|mta6|mta7).am0.yahoodns.net
 *     mx.google.com, alt1.mx.google.com, alt2.mx.google.com                →  (alt1|alt2)?.mx.google.com
 *
 * Labels are compared from the top-level domain on; at each position the distinct ones are listed in order of first
 * appearance, with `?` when some name has none there. A port (`mx.example.com:2025`) stays glued to the top-level label.
 * Different sets of hosts may print alike, so paths are told apart by a route's `key`, never by this name. No hosts give "".
 */
export function siteName(hosts: readonly string[]): string {
  const names = hosts.map((host) =>
    host
      .toLowerCase()
      .replace(/\.(?=$|:)/, "")
      .split(".")
      .reverse(),
  );
  const depth = names.reduce((most, labels) => Math.max(most, labels.length), 0);
  const positions: string[] = [];
  for (let position = 0; position < depth; position++) {
    positions.push(printPosition(new Set(names.map((labels) => labels[position] ?? ABSENT))));
  }
  return positions.reverse().join(".");
}

function printPosition(labels: ReadonlySet<string | null>): string {
  const present = [...labels].filter((label) => label !== ABSENT);
  const text = present.length === 1 ? `${present[0]}` : `(${present.join("|")})`;
  return labels.has(ABSENT) ? `${text}?` : text;
}
