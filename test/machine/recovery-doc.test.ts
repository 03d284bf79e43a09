/** docs/recovery.md says what the tables of the code say. A failure prints the text that belongs there. */
import { describe, expect, it } from 'vitest';
import { POLICY_NAMES } from '../../src/machine/detection/policy.ts';
import { POLICY } from '../../src/machine/detection/types.ts';
import { ARCS, isActive, type RecoveryState, STEPS } from '../../src/machine/recovery/transitions.ts';
import { readText } from '../tidy/files.ts';

const doc = readText('docs/recovery.md');

/** The table of arcs as a state diagram; a state that holds the lock names its steps. */
function diagram(): string {
  const states = Object.keys(ARCS) as RecoveryState[];
  const arcs = states.flatMap((from) => Object.entries(ARCS[from]).map(([arc, to]) => `    ${from} --> ${to}: ${arc}`));
  const steps = Object.entries(STEPS).map(([state, names]) => `    ${state}: ${state} (${names.join(', ')})`);
  return [
    '```mermaid',
    'stateDiagram-v2',
    '    [*] --> INTERRUPTED',
    ...steps,
    ...arcs,
    '    CLEAN_EXIT --> [*]',
    '```',
  ].join('\n');
}

describe('docs/recovery.md', () => {
  it('shows every arc of the table, and no other', () => {
    expect(doc).toContain(diagram());
    expect(doc.match(/^```mermaid$/gm)).toHaveLength(1);
  });

  it('names the states in which the token is odd', () => {
    const active = (Object.keys(ARCS) as RecoveryState[]).filter(isActive).map((state) => `\`${state}\``);
    expect(doc).toContain(`odd in ${active.join(' and ')}`);
  });

  it('lists every number of the policy with its default and range', () => {
    const rows = POLICY_NAMES.map((name) => {
      const { normal, min, max } = POLICY[name];
      return `| \`${name}\` | ${normal} | ${min} | ${max} |`;
    });
    const table = ['| Name | Default | Least | Most |', '| --- | --- | --- | --- |', ...rows].join('\n');
    // A formatter may line the columns up.
    const plain = (text: string): string => text.replaceAll(/ +/g, ' ').replaceAll(/-{3,}/g, '---');
    expect(plain(doc)).toContain(table);
  });
});
