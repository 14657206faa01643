#!/usr/bin/env node
/** The `hotrace` command. */

import { createRequire } from 'node:module';
import { Command, CommanderError } from 'commander';
import { FORMATS } from '../../events/formats.js';
import { InputError } from '../../events/input-error.js';
import { EXIT } from './exit-code.js';
import { printable } from '../report/format.js';
import type { ExploreFlags } from './explore-flags.js';
import type { RacesFlags } from './races.js';
import { runReplay } from './replay.js';
import type { ReplayFlags } from './replay.js';
import { rulesText } from './rules.js';
import type { SystemsFlags } from './systems.js';
import { UsageError } from './usage-error.js';

function version(): string {
  const { version } = createRequire(import.meta.url)('hotrace/package.json') as { version: string };
  return version;
}

const write = (text: string) => void process.stdout.write(text);
const warn = (text: string) => void process.stderr.write(text);

function program(done: (code: number) => void): Command {
  const hotrace = new Command('hotrace')
    .description('Replay Linux hotplug traces through a model of IOMMU groups and notifier chains')
    .version(version())
    .exitOverride()
    .configureOutput({
      outputError: (text, show) =>
        show(
          `${printable(
            text
              .trimEnd()
              .replace(/^error: /, 'hotrace: ')
              .replaceAll('\n', ' '),
          )}; see hotrace --help\n`,
        ),
    })
    .configureHelp({ helpWidth: 80 })
    .addHelpText(
      'after',
      '\nExit codes: 0 clean, 1 a rule was violated (of races: a variant is not as\nexpected), 2 bad usage or unreadable input, 3 inconclusive or incomplete.',
    );
  hotrace
    .command('replay')
    .description('read recorded traces, check every rule, look at the state of any moment')
    .argument(
      '[file...]',
      'traces (ftrace, trace-cmd, perf, udevadm, dmesg, journal, sysfs), gzip, or -',
    )
    .option('--at <moment>', 'state at a moment: seconds (140.95), 200ms, or #412 for an event')
    .option('--diff <moments...>', 'what changed between two moments')
    .option('--device <name>', 'history of a device')
    .option('--group <number>', 'history of a group and who blocks it (at --at, or at the end)')
    .option('--sysfs-before <path>', 'snapshot or copied /sys from before the recording')
    .option('--sysfs-after <path>', 'snapshot or copied /sys from after it, compared with the end')
    .option('--kernel <version>', 'kernel profile; concluded from the input otherwise')
    .option('--format <name>', `format of the files: ${FORMATS.map((f) => f.name).join(', ')}`)
    .option('--probes <file>', 'JSON table of your own kprobe names and fields')
    .option('--check', 'verdicts only, in constant memory')
    .option('--rules', 'every rule in full, with the reason where there was nothing to check')
    .option('--violations <n>', 'violations shown per rule (3)')
    .option('--unparsed', 'list the lines that could not be read')
    .option('--log <file>', 'write the merged events as an NDJSON log (.gz compresses)')
    .option('--json', 'everything as JSON')
    .option('--color', 'colour even when the output is not a terminal')
    .option('--no-color', 'no colour')
    .action(async (files: string[], flags: ReplayFlags, command: Command) => {
      // Without --color or --no-color the terminal decides.
      const told = command.getOptionValueSource('color') !== 'default';
      done(
        await runReplay(files, { ...flags, color: told ? flags.color : undefined }, write, warn),
      );
    });
  hotrace
    .command('explore')
    .description('search every interleaving of a scenario for one that breaks a rule')
    .argument('[scenario]', 'a name that --list shows, K11/bug, or a TypeScript or JavaScript file')
    .option('--list', 'the scenarios and races that hotrace knows')
    .option(
      '--kernel <version>',
      'generation, where the scenario depends on it; several (v5.10,v6.12) or all are compared',
    )
    .option(
      '--strategy <name>',
      'exhaustive (default); bounded: by number of preemptions; random, pct, pos, surw, uniform (among classes of interleavings): schedules drawn at random',
    )
    .option('--seed <n>', 'of random schedules (0)')
    .option('--runs <n>', 'how many random schedules (10000)')
    .option('--bug-depth <n>', 'orders of steps that a bug needs, for pct (3)')
    .option('--max-preemptions <n>', 'most preemptions, with --strategy bounded')
    .option('--max-states <n>', 'states that are stored')
    .option('--max-depth <n>', 'steps from the start')
    .option('--max-steps <n>', 'steps of one thread (1000)')
    .option('--max-faults <n>', 'faults in a run, instead of as many as the scenario says')
    .option('--max-time <seconds>', 'time')
    .option('--max-memory <MB>', 'memory of the process (three quarters of the machine)')
    .option('--no-sleep', 'without sleep sets')
    .option('--no-alone', 'without running alone what commutes with all others')
    .option('--no-sections', 'without taking critical sections as one step')
    .option('--no-symmetry', 'without symmetry')
    .option('--jobs <n>', 'threads that search (1)')
    .option('--checkpoint <file>', 'keep the search in a file while it runs')
    .option('--checkpoint-every <seconds>', 'how often (5)')
    .option('--resume <file>', 'go on from a checkpoint of the same search')
    .option('--schedule <file>', 'run the schedules that --json wrote, instead of searching')
    .option('--mermaid', 'the schedules as Mermaid sequence diagrams')
    .option('--count', 'how many classes of interleavings there are, instead of searching')
    .option('--stats', 'numbers of the search; of random schedules, which part of the classes')
    .option('--itf <file>', "each schedule as a trace in Apalache's Informal Trace Format")
    .option('--log <file>', 'each schedule as an event log that hotrace replay reads')
    .option('--json', 'everything as JSON')
    .action(async (scenario: string | undefined, flags: ExploreFlags) => {
      const { runExplore } = await import('./explore.js');
      done(await runExplore(scenario, flags, write));
    });
  hotrace
    .command('systems')
    .description('the five modelled systems: their variants, and what is found in each')
    .argument('[id...]', 'groups, msi, …: these, with their tables')
    .option('--json', 'everything as JSON')
    .action(async (ids: string[], flags: SystemsFlags) => {
      const { runSystems } = await import('./systems.js');
      done(runSystems(ids, flags, write));
    });
  hotrace
    .command('races')
    .description('the races that kernels had: each bug found by search, each fix shown to hold')
    .argument('[id...]', 'K11, S1: these in full, searched')
    .option('--all', 'search every variant of every race')
    .option('--json', 'everything as JSON')
    .action(async (ids: string[], flags: RacesFlags) => {
      const { runRaces } = await import('./races.js');
      done(runRaces(ids, flags, write));
    });
  hotrace
    .command('rules')
    .description('list the rules, or explain some for each kernel profile')
    .argument('[id...]', 'INV-08, B.3, or a name such as no-bind-after-del')
    .option('--json', 'as JSON')
    .action((ids: string[], flags: { json?: boolean }) => {
      write(rulesText(ids, flags.json === true));
      done(EXIT.clean);
    });
  return hotrace;
}

/** stdout cannot be written to. */
function writeFailed(error: NodeJS.ErrnoException): never {
  // The reader of a pipe went away (head, less): that is the end, not a failure.
  if (error.code === 'EPIPE') process.exit(process.exitCode ?? EXIT.clean);
  warn(`hotrace: standard output: cannot be written: ${error.message}\n`);
  process.exit(EXIT.usage);
}

async function main(): Promise<void> {
  process.stdout.on('error', writeFailed);
  process.stderr.on('error', () => undefined);
  const hotrace = program((code) => {
    process.exitCode = code;
  });
  try {
    if (process.argv.length <= 2) {
      throw new UsageError(
        `no command: hotrace replay FILE, for example\n\n${hotrace.helpInformation().trimEnd()}`,
      );
    }
    await hotrace.parseAsync();
  } catch (error) {
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode === 0 ? EXIT.clean : EXIT.usage;
      return;
    }
    process.exitCode = EXIT.usage;
    // Standard input may be open still, and nobody reads it on.
    process.stdin.destroy();
    if (error instanceof UsageError || error instanceof InputError) {
      warn(`hotrace: ${error.message.split('\n').map(printable).join('\n')}\n`);
      return;
    }
    const { message, stack } = error as Error;
    const hint = process.env['HOTRACE_DEBUG'] === undefined ? '; HOTRACE_DEBUG=1 shows where' : '';
    warn(`hotrace: internal error, please report it: ${printable(message)}${hint}\n`);
    if (hint === '') warn(`${stack}\n`);
  }
}

await main();
