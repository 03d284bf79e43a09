/** What looks at the folder of a run when it is over. The one place where checkers and the report are plugged in. */

/** What one checker says about one history. */
export interface Verdict {
  readonly checker: string;
  readonly workload: string;
  readonly valid: true | false | 'unknown';
  readonly detail: string;
  readonly evidence?: unknown;
}

export interface Hooks {
  /** Checks every history of the folder. */
  readonly check: (dir: string) => Promise<readonly Verdict[]>;
  /** Writes `report.html` and whatever else people look at. */
  readonly report: (dir: string, verdicts: readonly Verdict[]) => Promise<void>;
}

/** null: a run judges by its service levels and by what its nemeses saw, and says so. */
export const HOOKS: Hooks | null = null;
