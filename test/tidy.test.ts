import { describe, expect, it } from 'vitest';
import { projectRoot, readProject, readText, type SourceFile } from './tidy/files.ts';
import { checkModules, packageOf, parseModuleTable } from './tidy/modules.ts';
import { checkPlace, checkPurity, checkShape, checkWords, FUNCTION_LINES_MAX } from './tidy/rules.ts';
import { importsOf } from './tidy/syntax.ts';

const project = readProject();
const code = project.filter((file) => file.path.endsWith('.ts') && !file.path.endsWith('.d.ts'));
const source = code.filter((file) => file.path.startsWith('src/'));
const generated: SourceFile = {
  path: 'src/gen/any_pb.ts',
  text: "import { fileDesc } from '@bufbuild/protobuf/codegenv2';",
};
const architecture = readText('ARCHITECTURE.md');

interface Manifest {
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
}
const manifest = JSON.parse(readText('package.json')) as Manifest;

const file = (path: string, text: string): SourceFile => ({ path, text });

describe('modules (ARCHITECTURE.md)', () => {
  it('import only what the table allows, and the table allows nothing that is not used', () => {
    expect(projectRoot.endsWith('/')).toBe(true);
    expect(source.length).toBeGreaterThan(20);
    expect(checkModules(parseModuleTable(architecture), [...source, generated])).toEqual([]);
  });

  it('find a deliberate wrong import', () => {
    const wrong = [
      file('src/raft/wrong.ts', "import { openWal } from '../wal/wal.ts';\nexport const x = openWal;"),
      file('src/machine/wrong.ts', "export type X = import('../node/types.ts').MemberPort;"),
      file('src/api/wrong.ts', "export const x = import('../server/config.ts');"),
      file('src/types/wrong.ts', "export { readFile } from 'node:fs/promises';"),
      file('src/store/wrong.ts', "import { fake } from '../../test/support/fake.ts';\nexport const x = fake;"),
      file('src/surprise/a.ts', 'export const x = 1;'),
    ];
    const table = parseModuleTable(architecture);
    const before = new Set(checkModules(table, [...source, generated]));
    const problems = checkModules(table, [...source, generated, ...wrong]).filter((line) => !before.has(line));
    expect(problems).toEqual([
      'src/raft/wrong.ts:1: `raft` may not import `wal`',
      'src/machine/wrong.ts:1: `machine` may not import `node`',
      'src/api/wrong.ts:1: `api` may not import `server`',
      'src/types/wrong.ts:1: `types` may not import the package node',
      'src/store/wrong.ts:1: `store` imports test/support/fake.ts, which is not in src/',
      'src/surprise/a.ts: ARCHITECTURE.md has no row for `surprise`',
    ]);
  });

  const table = (...rows: string[]): string =>
    ['| in `src/` | owns | may import | packages |', '| --- | --- | --- | --- |', ...rows, ''].join('\n');

  it('find stale rows, types imported at run time, and cycles', () => {
    const rows = parseModuleTable(
      table(
        '| `a/` | one | `b` (types), `c` | `pino` |',
        '| `b/` | two | `a` | – |',
        '| `c/` | three | `b` | – |',
        '| `d/` | four | – | – |',
      ),
    );
    const problems = checkModules(rows, [
      file('src/a/a.ts', "import { b } from '../b/b.ts';\nimport type { C } from '../c/c.ts';\nexport { type C, b };"),
      file('src/b/b.ts', "import { a } from '../a/a.ts';\nexport const b = a;"),
      file('src/c/c.ts', 'export interface C {}'),
    ]);
    expect(problems).toEqual([
      'src/a/a.ts:1: `a` may import only types of `b`',
      'ARCHITECTURE.md: stale: `a` imports only types of `c`; say "(types)"',
      'ARCHITECTURE.md: stale: nothing in `a` imports the package pino',
      'ARCHITECTURE.md: stale: nothing in `c` imports `b`',
      'ARCHITECTURE.md: stale row: there is no src/d',
      'ARCHITECTURE.md: a cycle: a → c → b → a',
    ]);
  });

  it('do not accept a table that cannot be read', () => {
    expect(() => parseModuleTable('# nothing')).toThrow('no table');
    expect(() => parseModuleTable(table('| a | one | – | – |'))).toThrow('does not name a folder');
    expect(() => parseModuleTable(table('| `a/` | one | everything | – |'))).toThrow('not a module');
    expect(() => parseModuleTable(table('| `a/` | one | – | all |'))).toThrow('not a package');
    expect(() => parseModuleTable(table('| `a/` | one | – |'))).toThrow('not a row');
  });
});

describe('pure folders', () => {
  it('hold no clock, randomness, timer, I/O, promise or locale', () => {
    expect(source.flatMap(checkPurity)).toEqual([]);
  });

  it.each([
    ['const t = Date.now();', 'Date'],
    ['const r = Math.random();', 'Math.random'],
    ['const e = Math.exp(2);', 'Math.exp'],
    ['setTimeout(() => {}, 1);', 'setTimeout'],
    ['export async function f() {}', 'async'],
    ['const f = async () => 1;', 'async'],
    ['class A { async f() {} }', 'async'],
    ["const m = import('./x.ts');", 'import()'],
    ["const o = 'a'.localeCompare('b');", '.localeCompare'],
    ["const o = 'a'.toLocaleUpperCase();", '.toLocaleUpperCase'],
    ["const b = Buffer.from('a');", 'Buffer'],
    ["const b = new TextEncoder().encode('a');", 'TextEncoder'],
    ['const p = process.pid;', 'process'],
    ['const p = Promise.resolve(1);', 'Promise'],
    ['for (const k in {}) console.log(k);', 'for…in'],
    ['const d = { Date };', 'Date'],
  ])('%s is found', (text, what) => {
    expect(checkPurity(file('src/raft/x.ts', text))).toContain(`src/raft/x.ts:1: ${what} in a pure folder`);
    expect(checkPurity(file('src/wal/x.ts', text))).toEqual([]);
  });

  it('may use exact arithmetic, types, and properties of the same name', () => {
    const text = 'interface P { sync(): Promise<void> }\nconst x = Math.floor(1.5);\nconst y = { process: 1 }.process;';
    expect(checkPurity(file('src/ports/x.ts', text))).toEqual([]);
  });
});

describe('code', () => {
  it('keeps files and functions short, and exports by name', () => {
    expect(code.flatMap(checkShape)).toEqual([]);
  });

  it('finds what is too long or of the wrong shape', () => {
    const body = 'x();\n'.repeat(FUNCTION_LINES_MAX);
    expect(checkShape(file('src/a/a.ts', `export function f() {\n${body}}`))).toEqual([
      'src/a/a.ts:1: a function of 72 lines; at most 70',
    ]);
    expect(checkShape(file('test/a.test.ts', `describe('a', () => {\n${body}});`))).toEqual([]);
    expect(checkShape(file('test/a.test.ts', `describe.each([1])('a', () => {\n${body}});`))).toEqual([]);
    expect(checkShape(file('test/a.ts', `export function contract() {\n  describe('a', f);\n${body}}`))).toEqual([]);
    expect(checkShape(file('test/a.test.ts', `it('a', () => {\n${body}});`))).toHaveLength(1);
    expect(checkShape(file('src/a/a.ts', '\n'.repeat(401)))).toEqual(['src/a/a.ts: 401 lines; at most 400']);
    expect(checkShape(file('src/a/a.ts', 'export default 1;'))).toEqual(['src/a/a.ts:1: a default export']);
    expect(checkShape(file('src/a/a.ts', 'export enum E { a }'))).toEqual(['src/a/a.ts:1: an enum; use a union']);
    expect(checkShape(file('src/a/a.ts', "export { b } from './b.ts';"))).toEqual([
      'src/a/a.ts: a barrel: it only exports what other files define',
    ]);
  });

  it('holds no unfinished work, switched-off test, silenced check or path of one machine', () => {
    expect(project.flatMap(checkWords)).toEqual([]);
    expect(project.flatMap(checkPlace)).toEqual([]);
  });

  it.each([
    ['src/a/a.ts', `// TO${'DO'} later`],
    ['test/a.test.ts', `it.sk${'ip'}('x', () => {});`],
    ['test/a.test.ts', `describe.on${'ly'}('x', () => {});`],
    ['src/a/a.ts', `// @ts-ig${'nore'}`],
    ['README.md', `see /ho${'me'}/someone/notes`],
    ['src/a/a.ts', `import { vi } from 'vi${'test'}';`],
  ])('%s: %s is found', (path, text) => {
    expect(checkWords(file(path, text))).not.toEqual([]);
  });

  it('finds a fake in src/', () => {
    expect(checkPlace(file('src/store/fake-store.ts', ''))).toHaveLength(1);
    expect(checkPlace(file('src/wal/testing/disk.ts', ''))).toHaveLength(1);
    expect(checkPlace(file('src/store/latest.ts', ''))).toEqual([]);
  });
});

describe('packages', () => {
  const importedBy = (files: readonly SourceFile[]): Set<string> =>
    new Set(
      files.flatMap((one) =>
        importsOf(one)
          .filter((found) => !found.specifier.startsWith('.'))
          .map((found) => packageOf(found.specifier)),
      ),
    );

  it('that the product imports are dependencies, and every dependency is imported', () => {
    const imported = importedBy([...source, generated]);
    imported.delete('node');
    expect([...imported].sort()).toEqual(Object.keys(manifest.dependencies).sort());
  });

  it('that tests and tools import are declared', () => {
    const declared = new Set([...Object.keys(manifest.dependencies), ...Object.keys(manifest.devDependencies), 'node']);
    const imported = importedBy(code);
    expect([...imported].filter((name) => !declared.has(name))).toEqual([]);
  });
});
