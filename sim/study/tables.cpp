#include "sim/study/tables.hpp"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <memory>
#include <system_error>

#include "sim/output/csv.hpp"
#include "sim/output/out_file.hpp"

namespace forksim {

namespace fs = std::filesystem;

namespace {

void append_cells(const std::vector<std::string>& cells, std::string& out) {
  for (std::size_t i = 0; i < cells.size(); ++i) {
    if (i) out += ',';
    append_csv(cells[i], out);
  }
}

std::string results_csv(const Study& study, const JobOutcomes& outcomes) {
  std::string out = "cell,";
  append_cells(study.factors, out);
  out += ",seed,metric,statistic,value\n";
  for (std::size_t job = 0; job < outcomes.size(); ++job) {
    if (!outcomes[job] || !outcomes[job]->ok) continue;
    const Cell& cell = study.cell_of(job);
    std::string lead = cell.id + ',';
    append_cells(cell.values, lead);
    lead += fmt::format(",{},", study.seed_of(job));
    for (const auto& [row, value] : outcomes[job]->values) {
      const MeasureInfo& m = measure_table()[row];
      out += lead + m.metric + ',' + m.statistic + ',';
      append_csv(value, out);
      out += '\n';
    }
  }
  return out;
}

struct CellState {
  std::size_t runs = 0, failed = 0, missing = 0, violated = 0;
  std::string error;
};

CellState state_of(const Study& study, const JobOutcomes& outcomes, std::size_t cell) {
  CellState s;
  for (std::size_t job = cell * study.seeds; job < (cell + 1) * study.seeds; ++job) {
    const RunOutcome* r = outcomes[job];
    s.missing += !r;
    s.failed += r && !r->ok;
    s.runs += r && r->ok;
    s.violated += r && r->violated > 0;
    if (r && !r->ok && s.error.empty()) s.error = r->error;
  }
  if (s.error.empty() && s.missing) s.error = "not run";
  std::ranges::replace(s.error, '\n', ' ');
  return s;
}

std::string cells_csv(const Study& study, const JobOutcomes& outcomes) {
  std::string out = "cell,";
  append_cells(study.factors, out);
  out += ",runs,failed,missing,violated,error\n";
  for (std::size_t c = 0; c < study.cells.size(); ++c) {
    const CellState s = state_of(study, outcomes, c);
    out += study.cells[c].id + ',';
    append_cells(study.cells[c].values, out);
    out += fmt::format(",{},{},{},{},", s.runs, s.failed, s.missing, s.violated);
    append_csv(std::string_view(s.error), out);
    out += '\n';
  }
  return out;
}

/// The little of SQLite that tables need; every error ends in OutputError.
class Database {
 public:
  explicit Database(const fs::path& file) : file_(file) {
    sqlite3* db = nullptr;
    const int code = sqlite3_open(file.c_str(), &db);
    db_.reset(db);
    check(code);
  }
  void run(const std::string& sql) { check(sqlite3_exec(db_.get(), sql.c_str(), nullptr, nullptr, nullptr)); }

  class Insert {
   public:
    Insert(Database& db, const std::string& table, std::size_t columns) : db_(db) {
      std::string sql = "INSERT INTO " + table + " VALUES (";
      for (std::size_t i = 0; i < columns; ++i) sql += i ? ",?" : "?";
      sqlite3_stmt* s = nullptr;
      db.check(sqlite3_prepare_v2(db.db_.get(), (sql + ")").c_str(), -1, &s, nullptr));
      statement_.reset(s);
    }
    Insert& text(const std::string& t) {
      db_.check(sqlite3_bind_text(statement_.get(), ++at_, t.c_str(), -1, SQLITE_TRANSIENT));
      return *this;
    }
    Insert& integer(km::u64 v) {
      db_.check(sqlite3_bind_int64(statement_.get(), ++at_, static_cast<sqlite3_int64>(v)));
      return *this;
    }
    Insert& real(double v) {
      db_.check(sqlite3_bind_double(statement_.get(), ++at_, v));
      return *this;
    }
    void row() {
      if (sqlite3_step(statement_.get()) != SQLITE_DONE) db_.fail();
      db_.check(sqlite3_reset(statement_.get()));
      at_ = 0;
    }

   private:
    struct Finalize {
      void operator()(sqlite3_stmt* s) const { sqlite3_finalize(s); }
    };
    Database& db_;
    std::unique_ptr<sqlite3_stmt, Finalize> statement_;
    int at_ = 0;
  };

 private:
  struct Close {
    void operator()(sqlite3* db) const { sqlite3_close(db); }
  };
  void check(int code) const {
    if (code != SQLITE_OK) fail();
  }
  [[noreturn]] void fail() const { throw OutputError(file_.string() + ": " + sqlite3_errmsg(db_.get())); }

  fs::path file_;
  std::unique_ptr<sqlite3, Close> db_;
};

std::string quoted_columns(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& n : names) out += fmt::format("\"{}\" TEXT, ", n);  // names have no quotes
  return out;
}

void fill(Database& db, const Study& study, const JobOutcomes& outcomes) {
  db.run("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; BEGIN");
  db.run("CREATE TABLE cells (cell TEXT PRIMARY KEY, " + quoted_columns(study.factors) + "runs INTEGER, failed INTEGER, missing INTEGER, violated INTEGER, error TEXT)");
  db.run("CREATE TABLE results (cell TEXT REFERENCES cells, seed INTEGER, metric TEXT, statistic TEXT, value REAL)");
  Database::Insert cells(db, "cells", study.factors.size() + 6), results(db, "results", 5);
  for (std::size_t c = 0; c < study.cells.size(); ++c) {
    const CellState s = state_of(study, outcomes, c);
    cells.text(study.cells[c].id);
    for (const std::string& v : study.cells[c].values) cells.text(v);
    cells.integer(s.runs).integer(s.failed).integer(s.missing).integer(s.violated).text(s.error).row();
  }
  for (std::size_t job = 0; job < outcomes.size(); ++job) {
    if (!outcomes[job] || !outcomes[job]->ok) continue;
    for (const auto& [row, value] : outcomes[job]->values)
      results.text(study.cell_of(job).id).integer(study.seed_of(job)).text(measure_table()[row].metric).text(measure_table()[row].statistic).real(value).row();
  }
  db.run("CREATE INDEX by_cell ON results (cell, metric, statistic); COMMIT");
}

void write_sqlite(const fs::path& file, const Study& study, const JobOutcomes& outcomes) {
  const fs::path temp = file.string() + ".new";
  std::error_code ec;
  fs::remove(temp, ec);
  {
    Database db(temp);
    fill(db, study, outcomes);
  }
  fs::rename(temp, file, ec);
  if (ec) throw OutputError(file.string() + ": cannot be put in place: " + ec.message());
}

}  // namespace

SweepCounts count_outcomes(const JobOutcomes& outcomes) {
  SweepCounts c;
  for (const RunOutcome* r : outcomes) {
    c.missing += !r;
    c.finished += r && r->ok;
    c.failed += r && !r->ok;
    c.violated += r && r->violated > 0;
  }
  return c;
}

void replace_file(const fs::path& file, std::string_view bytes) {
  const fs::path temp = file.string() + ".new";
  write_file(temp, bytes);
  std::error_code ec;
  fs::rename(temp, file, ec);
  if (ec) throw OutputError(file.string() + ": cannot be put in place: " + ec.message());
}

void write_tables(const fs::path& dir, const Study& study, const JobOutcomes& outcomes) {
  replace_file(dir / "results.csv", results_csv(study, outcomes));
  replace_file(dir / "cells.csv", cells_csv(study, outcomes));
  write_sqlite(dir / "results.sqlite", study, outcomes);
  std::error_code ec;
  fs::remove_all(dir / "resolved", ec);
  fs::create_directories(dir / "resolved", ec);
  if (ec) throw OutputError((dir / "resolved").string() + ": cannot be created: " + ec.message());
  for (std::size_t job = 0; job < outcomes.size(); job += study.seeds)
    if (outcomes[job] && !outcomes[job]->resolved.empty()) write_file(dir / "resolved" / (study.cell_of(job).id + ".yaml"), outcomes[job]->resolved);
}

}  // namespace forksim
