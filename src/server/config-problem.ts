/** What can be wrong with a configuration, in words that say what to do. */

export interface ConfigProblem {
  /** Dotted path of the setting, as far as it is known; '' for the file as a whole. */
  readonly path: string;
  /** Where the value came from: `quorate.yaml:7`, `--raft-tick-ms`, `QUORATE_RAFT_TICK_MS`; null: nowhere, it is missing. */
  readonly where: string | null;
  readonly message: string;
}

/** One line for a person. */
export function formatProblem(problem: ConfigProblem): string {
  const where = problem.where === null ? '' : `${problem.where}: `;
  const path = problem.path === '' ? '' : `${problem.path}: `;
  return `${where}${path}${problem.message}`;
}

/** Levenshtein distance. */
function distance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const substitution = (previous[column - 1] ?? 0) + (a[row - 1] === b[column - 1] ? 0 : 1);
      current.push(Math.min(substitution, (previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1));
    }
    previous = current;
  }
  return previous[b.length] ?? 0;
}

/** The candidate that looks most like `given`. */
export function nearest(given: string, candidates: readonly string[]): string | null {
  let best: string | null = null;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const candidate of candidates) {
    const d = distance(given.toLowerCase(), candidate.toLowerCase());
    if (d < bestDistance) {
      best = candidate;
      bestDistance = d;
    }
  }
  return best;
}

/** `unknown setting; did you mean x?`, with the whole list where there is no close one. */
export function unknownMessage(given: string, candidates: readonly string[]): string {
  const best = nearest(given, candidates);
  return best === null ? 'unknown setting; remove it' : `unknown setting; the nearest valid one is ${best}`;
}
