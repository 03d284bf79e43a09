/** The part of RECONCILE's last look at the documents (V2) that needs a schema validator, and so cannot be in the state machine. */
import { touchedDocuments } from '../machine/document/snapshot.ts';
import { errorText } from './hook.ts';
import type { CheckDocuments } from './recovery-driver.ts';

/** What is wrong with `content` by the JSON Schema `schema`, as a sentence; null when nothing is. Must not throw. */
export type ValidateDocument = (schema: string, content: string) => string | null;

/** Documents between two turns of the event loop. */
const PAGE = 16;

/** Every document that the run has written is compared with its schema, those that were deleted aside. */
export function documentCheck(validate: ValidateDocument, nextTurn: () => Promise<void>): CheckDocuments {
  return async (rows, runKey) => {
    let checked = 0;
    for (let after = ''; ; ) {
      const page = touchedDocuments(rows, runKey, after, PAGE);
      const last = page.at(-1);
      if (last === undefined) return { ok: true, detail: `${checked} documents are as their schemas want them` };
      for (const { name, current } of page) {
        const problem = current.deleted || current.schema === '' ? null : validate(current.schema, current.content);
        if (problem !== null) return { ok: false, detail: errorText(`document ${name}: ${problem}`) };
        checked++;
      }
      after = last.name;
      await nextTurn();
    }
  };
}
