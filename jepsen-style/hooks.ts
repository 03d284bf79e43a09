/** What looks at the folder of a run when it is over. The one place where checkers and the report are plugged in. */
import { check, type Verdict } from './checkers/check.ts';
import { writeReport } from './report/report.ts';

export type { Verdict };

export interface Hooks {
  /** Holds every history of the folder against its rule. */
  readonly check: (dir: string) => Promise<readonly Verdict[]>;
  /** Writes `report.html` and the histories in Jepsen's form. */
  readonly report: (dir: string, verdicts: readonly Verdict[]) => Promise<unknown>;
}

export const HOOKS: Hooks = { check, report: writeReport };
