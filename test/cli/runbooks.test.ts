import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { EXIT } from '../../src/cli/exit-codes.ts';
import { buildProgram } from '../../src/cli/program.ts';
import { SETTINGS } from '../../src/server/config-settings.ts';
import { projectRoot, readProject, readText } from '../tidy/files.ts';

const FOLDER = 'docs/runbooks/';
const project = readProject();
const pages = project.filter((file) => file.path.startsWith(FOLDER));
const index = readText(`${FOLDER}README.md`);
/** Code without the seams in long texts. */
const source = project
  .filter((file) => file.path.startsWith('src/') && !file.path.startsWith('src/gen/'))
  .map((file) => file.text.replaceAll(/['`] \+\s*['`]/g, ''))
  .join('\n');

const rows = [...index.matchAll(/^\| `([^`]+)` *\| ([^|]+?) *\| \[[^\]]*\]\(([^)]+)\) *\|$/gm)].map(
  ([, message = '', family = '', link = '']) => ({ message, family, link }),
);

/** The members of a union of texts in a source file. */
function union(path: string, name: string): string[] {
  const text = readText(path);
  const start = text.indexOf(`export type ${name} =`);
  const end = text.indexOf("';\n", start) + 1;
  return [...text.slice(start, end).matchAll(/'([a-zA-Z_]+)'/g)].map((match) => match[1] ?? '');
}

/** As the headings of a page are linked to. */
function anchors(text: string): Set<string> {
  const headings = [...text.matchAll(/^#+ (.+)$/gm)].map((match) => match[1] ?? '');
  return new Set(
    headings.map((one) =>
      one
        .toLowerCase()
        .replaceAll(/[^a-z0-9 -]/g, '')
        .replaceAll(' ', '-'),
    ),
  );
}

describe('U5: runbooks', () => {
  it('are found by words that the product really prints', () => {
    expect(rows.length).toBeGreaterThan(25);
    expect(rows.filter(({ message }) => !source.includes(message)).map(({ message }) => message)).toEqual([]);
  });

  it('have a page for each way in which the log and the tables can fail', () => {
    const families = new Set(rows.map(({ family }) => family));
    const wanted = [
      ...union('src/wal/types.ts', 'WalProblem').map((problem) => `WalError ${problem}`),
      ...union('src/store/store-error.ts', 'StoreErrorCode').map((code) => `StoreError ${code}`),
    ];
    expect(wanted.length).toBeGreaterThan(10);
    expect(wanted.filter((family) => !families.has(family))).toEqual([]);
    const named = [...families].filter((family) => /^(?:WalError|StoreError) /.test(family));
    expect(named.filter((family) => !wanted.includes(family))).toEqual([]);
  });

  it('have a page for each alert that the product raises, and for no other', () => {
    const ofMembers = [...source.matchAll(/name: '([a-z_]+)', text, raisedAtMs/g)].map(([, name = '']) => name);
    expect(ofMembers).toEqual(['fx_stale']);
    const alerts = [...union('src/machine/issue/types.ts', 'AlertName'), ...ofMembers].sort();
    const section = index.slice(index.indexOf('## Alerts'), index.indexOf('## Work that is planned'));
    const listed = [...section.matchAll(/^\| `([a-z_]+)` .*\]\(([a-z-]+\.md)\) *\|$/gm)];
    expect(listed.map(([, name]) => name).sort()).toEqual(alerts);
    for (const [, name = '', page = ''] of listed) {
      const text = readText(`${FOLDER}${page}`);
      for (const part of [`Alert \`${name}\``, '**What it means.**', '**What to look at.**', '**What to do.**']) {
        expect([page, part, text.includes(part)]).toEqual([page, part, true]);
      }
    }
  });

  it('have a page for each alarm and each alert', () => {
    const told = rows.map(({ message, family }) => `${message} ${family}`).join('\n');
    const wanted = [...union('src/node/types.ts', 'Alarm'), ...union('src/machine/issue/types.ts', 'AlertName')];
    expect(wanted.length).toBeGreaterThan(12);
    expect(wanted.filter((name) => !new RegExp(`\\b${name}\\b`).test(told))).toEqual([]);
  });

  it('link to pages and headings that exist, and every page is linked from the index', () => {
    const dead = pages.flatMap(({ path, text }) =>
      [...text.matchAll(/\]\(([^)]+)\)/g)]
        .map((match) => match[1] ?? '')
        .filter((link) => {
          const [file = '', anchor] = link.split('#');
          const target = join(FOLDER, file);
          if (!existsSync(join(projectRoot, target))) return true;
          return anchor !== undefined && !anchors(readText(target)).has(anchor);
        })
        .map((link) => `${path}: ${link}`),
    );
    expect(dead).toEqual([]);
    const linked = index + rows.map(({ link }) => link).join(' ');
    const names = pages.map(({ path }) => path.slice(FOLDER.length)).filter((name) => name !== 'README.md');
    expect(names.filter((name) => !linked.includes(`(${name}`))).toEqual([]);
  });

  it('name commands that exist', () => {
    const shell = {
      stdout: { write: () => undefined },
      stderr: { write: () => undefined },
      env: {},
      cwd: '/',
      signal: new AbortController().signal,
      exitCode: EXIT.ok,
    };
    const program = buildProgram(shell, SETTINGS);
    const unknown: string[] = [];
    for (const { path, text } of pages) {
      for (const [, words = ''] of text.matchAll(/(?:^\s*|`)quorate ((?:[a-z][a-z-]*\b ?)+)/gm)) {
        const [first = '', second] = words.trim().split(' ');
        const command = program.commands.find((one) => one.name() === first);
        const subs = command?.commands.map((one) => one.name()) ?? [];
        const needsSub = subs.length > 0 && first !== 'backup';
        if (command === undefined || (needsSub && !subs.includes(second ?? ''))) unknown.push(`${path}: ${words}`);
      }
    }
    expect(unknown).toEqual([]);
  });
});
