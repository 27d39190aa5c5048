// What every peer's measurement shares: a warm-up, a timed loop, and one JSON line as the answer.
//
// The unit is work per second of processor time (user and system, all threads of the process), so
// that a value does not depend on how many cores happen to be free.

/** Seconds of wall time for one measurement; the warm-up takes half of it beforehand, enough for the JIT. */
export const SECONDS = Number(process.env.BENCH_SECONDS ?? 5);

/** Repeats `work`, which does `units` units each time; answers units per cpu-second of this process. */
export async function perCpuSecond(units, work) {
  await repeatFor(SECONDS / 2, work);
  const before = process.cpuUsage();
  const rounds = await repeatFor(SECONDS, work);
  return (rounds * units) / cpuSeconds(process.cpuUsage(before));
}

export async function repeatFor(seconds, work) {
  const end = performance.now() + seconds * 1000;
  let rounds = 0;
  do {
    await work(rounds);
    rounds += 1;
  } while (performance.now() < end);
  return rounds;
}

/** Seconds from what process.cpuUsage() answers. */
export function cpuSeconds({ user, system }) {
  return (user + system) / 1e6;
}

/** `version` as the installed package says it. */
export async function versionOf(name) {
  const { readFile } = await import("node:fs/promises");
  const manifest = new URL(`./node_modules/${name}/package.json`, import.meta.url);
  return JSON.parse(await readFile(manifest, "utf8")).version;
}

export function report(id, peer, value, unit) {
  console.log(JSON.stringify({ id, peer, peer_value: Math.round(value * 10) / 10, unit }));
}
