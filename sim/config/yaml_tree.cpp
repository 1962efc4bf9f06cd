#include "sim/config/yaml_tree.hpp"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <fstream>
#include <sstream>

namespace forksim {

namespace {

/// Marks a provenance comment of resolved.yaml; a file that carries them keeps the provenance of its values.
constexpr std::string_view kProvenance = "  #< ";

/// Of a longer source line only the beginning is quoted.
constexpr int kLongestQuote = 300;

struct OverBudget : std::exception {};

class TreeBuilder final : public YAML::EventHandler {
 public:
  TreeBuilder(YamlDocument& doc, Diagnostics& diags) : doc_(doc), diags_(diags) {}

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& m, YAML::anchor_t) override { add(node(YamlNode::Kind::null, m)); }
  void OnAlias(const YAML::Mark& m, YAML::anchor_t) override {
    error(m, "aliases (*name) are not used in these files", "use parameters or process templates");
    add(node(YamlNode::Kind::null, m));
  }
  void OnAnchor(const YAML::Mark& m, const std::string& name) override {
    error(m, "anchors (&" + name + ") are not used in these files", "use parameters or process templates");
  }
  void OnScalar(const YAML::Mark& m, const std::string& tag, YAML::anchor_t, const std::string& value) override {
    check_tag(m, tag);
    YamlNode n = node(YamlNode::Kind::scalar, m);
    n.scalar = value;
    add(std::move(n));
  }
  void OnSequenceStart(const YAML::Mark& m, const std::string& tag, YAML::anchor_t, YAML::EmitterStyle::value) override {
    open(m, tag, YamlNode::Kind::list);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& m, const std::string& tag, YAML::anchor_t, YAML::EmitterStyle::value) override {
    open(m, tag, YamlNode::Kind::map);
  }
  void OnMapEnd() override { close(); }

  YamlNode take() { return std::move(root_); }

 private:
  struct Open {
    YamlNode node;
    bool have_key = false;
    YamlEntry entry;
  };

  YamlNode node(YamlNode::Kind kind, const YAML::Mark& m) {
    if (++nodes_ > kNodeBudget) {
      error(m, "the file has more than " + std::to_string(kNodeBudget) + " values", "use loop, count or instances");
      throw OverBudget();
    }
    YamlNode n;
    n.kind = kind;
    n.line = m.line + 1;
    n.col = m.column + 1;
    n.from = provenance(n.line);
    return n;
  }

  /// Of the values of one line; looked up once a line, since a line may hold very many values.
  const std::string& provenance(int line) {
    if (line == provenance_line_) return provenance_;
    provenance_line_ = line;
    provenance_.clear();
    if (line >= 1 && static_cast<std::size_t>(line) <= doc_.lines.size()) {
      const std::string& text = doc_.lines[static_cast<std::size_t>(line) - 1];
      const std::size_t at = text.rfind(kProvenance);
      if (at != std::string::npos) provenance_ = text.substr(at + kProvenance.size());
    }
    return provenance_;
  }

  void error(const YAML::Mark& m, std::string what, std::string allowed = {}, std::string hint = {}) {
    diags_.add(doc_.at(m.line + 1, m.column + 1, {}, std::move(what), std::move(allowed), std::move(hint)));
  }
  void check_tag(const YAML::Mark& m, const std::string& tag) {
    if (tag != "?" && tag != "!") error(m, "tags (" + tag + ") are not used in these files", "leave it out");
  }
  void open(const YAML::Mark& m, const std::string& tag, YamlNode::Kind kind) {
    check_tag(m, tag);
    stack_.push_back({node(kind, m), false, {}});
  }
  void close() {
    YamlNode done = std::move(stack_.back().node);
    stack_.pop_back();
    add(std::move(done));
  }

  void add(YamlNode n) {
    if (stack_.empty()) {
      root_ = std::move(n);
      return;
    }
    Open& top = stack_.back();
    if (top.node.is_list()) {
      top.node.items.push_back(std::move(n));
    } else if (!top.have_key) {
      top.have_key = true;
      top.entry = {n.scalar, n.line, n.col, {}};
      if (!n.is_scalar()) diags_.add(doc_.at(n.line, n.col, {}, "a key must be a word", "allowed are plain keys"));
    } else {
      top.have_key = false;
      keep(top, std::move(n));
    }
  }

  void keep(Open& top, YamlNode value) {
    YamlEntry& e = top.entry;
    if (e.key == "<<") {
      diags_.add(doc_.at(e.line, e.col, "<<", "merge keys are not used in these files", "use parameters or process templates"));
      return;
    }
    auto same = std::ranges::find(top.node.fields, e.key, &YamlEntry::key);
    if (same != top.node.fields.end()) {
      diags_.add(doc_.at(e.line, e.col, e.key, "the key is there twice", "each key once",
                         "the first one is in line " + std::to_string(same->line)));
      return;
    }
    if (value.kind == YamlNode::Kind::null) {  // yaml-cpp places it at the next token
      value.line = e.line;
      value.col = e.col;
      value.from = provenance(e.line);
    }
    e.value = std::move(value);
    top.node.fields.push_back(std::move(e));
  }

  YamlDocument& doc_;
  Diagnostics& diags_;
  std::vector<Open> stack_;
  YamlNode root_;
  std::size_t nodes_ = 0;
  int provenance_line_ = 0;
  std::string provenance_;
};

std::vector<std::string> split_lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    lines.push_back(std::move(line));
  }
  return lines;
}

bool control_byte(char c) {
  const auto u = static_cast<unsigned char>(c);
  return (u < 0x20 && c != '\n' && c != '\t' && c != '\r') || u == 0x7f;
}

/// yaml-cpp's words for what users get wrong most, in ours.
std::string explain(const std::string& msg, const std::string& line) {
  if (!line.empty() && line[0] == '\t') return "indent with blanks, not tabs";
  if (msg.find("end of map flow") != std::string::npos || msg.find("end of sequence flow") != std::string::npos)
    return "inside { } and [ ] an expression needs quotes: \"${a * b}\", or write $name";
  if (msg.find("block entry") != std::string::npos) return "is a { or [ still open above?";
  return {};
}

void set_origin(YamlNode& n, Origin origin, const std::string& from) {
  n.origin = n.from == kBuiltInDefault ? Origin::built_in : origin;
  if (origin == Origin::command_line || n.from.empty()) n.from = from;
  if (origin == Origin::command_line) n.line = n.col = 0;
  for (YamlNode& i : n.items) set_origin(i, origin, from);
  for (YamlEntry& e : n.fields) {
    if (origin == Origin::command_line) e.line = e.col = 0;
    set_origin(e.value, origin, from);
  }
}

void parse_into(const std::string& text, YamlDocument& doc, Diagnostics& diags) {
  TreeBuilder builder(doc, diags);
  try {
    std::istringstream in(text);
    YAML::Parser parser(in);
    parser.HandleNextDocument(builder);
    doc.root = builder.take();
    TreeBuilder rest(doc, diags);
    if (parser.HandleNextDocument(rest)) {
      const YamlNode second = rest.take();
      diags.add(doc.at(std::max(second.line, 1), std::max(second.col, 1), {}, "a second document starts here", "one document per file"));
    }
  } catch (const YAML::Exception& e) {
    const int line = std::max(e.mark.line + 1, 1), col = std::max(e.mark.column + 1, 1);
    Diagnostic d = doc.at(line, col, {}, "this is not YAML: " + e.msg);
    d.hint = explain(e.msg, d.source_line);
    diags.add(std::move(d));
  } catch (const OverBudget&) {
    doc.root = {};
  }
}

}  // namespace

const YamlNode* YamlNode::find(std::string_view key) const {
  auto it = std::ranges::find(fields, key, &YamlEntry::key);
  return it == fields.end() ? nullptr : &it->value;
}

YamlNode* YamlNode::find(std::string_view key) {
  auto it = std::ranges::find(fields, key, &YamlEntry::key);
  return it == fields.end() ? nullptr : &it->value;
}

Diagnostic YamlDocument::at(int line, int col, std::string path, std::string what, std::string allowed, std::string hint) const {
  Diagnostic d{line > 0 ? file : std::string{}, line, col, std::move(path), std::move(what), std::move(allowed), std::move(hint), {}};
  if (line >= 1 && static_cast<std::size_t>(line) <= lines.size() && col <= kLongestQuote)
    d.source_line = lines[static_cast<std::size_t>(line) - 1].substr(0, kLongestQuote);
  return d;
}

YamlDocument parse_yaml(const std::string& text, const std::string& file, Diagnostics& diags) {
  YamlDocument doc;
  doc.file = file;
  if (text.size() > kByteBudget) {
    diags.add(doc.at(1, 1, {}, "the file has more than " + std::to_string(kByteBudget) + " bytes", "use loop, count or instances"));
    return doc;
  }
  doc.lines = split_lines(text);
  for (std::size_t i = 0; i < doc.lines.size(); ++i) {
    const auto bad = std::ranges::find_if(doc.lines[i], control_byte);
    if (bad == doc.lines[i].end()) continue;
    diags.add(doc.at(static_cast<int>(i) + 1, static_cast<int>(bad - doc.lines[i].begin()) + 1, {}, "a control character",
                     "files are UTF-8 text"));
    return doc;
  }
  parse_into(text, doc, diags);
  set_origin(doc.root, Origin::workload, {});
  return doc;
}

YamlDocument load_yaml(const std::string& file, Diagnostics& diags) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream text;
  if (in) text << in.rdbuf();
  if (!in || (text.str().empty() && in.bad())) {
    YamlDocument doc;
    doc.file = file;
    diags.add({file, 0, 0, {}, "cannot read the file", "give a readable YAML file", {}, {}});
    return doc;
  }
  return parse_yaml(text.str(), file, diags);
}

YamlNode parse_override(const std::string& text, const std::string& path, const std::string& from, Diagnostics& diags) {
  Diagnostics local;
  YamlDocument doc;
  doc.lines = {text};
  parse_into(text, doc, local);
  for (Diagnostic d : local.list()) {
    d.file.clear();
    d.line = d.col = 0;
    d.path = path;
    diags.add(std::move(d));
  }
  set_origin(doc.root, Origin::command_line, from);
  return std::move(doc.root);
}

}  // namespace forksim
